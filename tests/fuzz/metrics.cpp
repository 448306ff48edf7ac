// metrics.csv, and the curves drawn from it.
#include "train/report/metrics.h"
#include "tests/fuzz/harness.h"
#include "train/report/learning_curves.h"
#include "train/report/svg_chart.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fovea;
  static MemoryFile file;
  file.set(data, size);
  result_or_error([&] { read_metrics(file.path()); });
  result_or_error([&] {
    for (const Chart& chart : learning_curves(file.path())) svg_chart(chart);
  });
  return 0;
}
