#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace fovea {

using NamedValues = std::vector<std::pair<std::string, double>>;  // "train/loss" -> 0.31

// Appends the numbers of a run to <folder>/metrics.csv (columns step, epoch, seconds, name, value: one line
// per number) and to a TensorBoard event file in the same folder, and flushes both at each call. A run
// resumed at `resume_step` keeps the lines up to that step and drops later ones, which it will compute again;
// the event file is rewritten from what metrics.csv kept.
class MetricsWriter {
 public:
  MetricsWriter(const std::string& folder, int64_t resume_step);  // resume_step 0: a new run, nothing is kept
  ~MetricsWriter();
  void write(int64_t step, double epoch, double seconds,
             const NamedValues& values);  // throws Error if the disk is full

 private:
  struct Files;
  std::unique_ptr<Files> files_;
};

// One line of metrics.csv.
struct MetricsRow {
  int64_t step = 0;
  double epoch = 0, seconds = 0;
  std::string name;
  double value = 0;
};

// Reads metrics.csv. A last line cut short by a crash is left out; any other malformed line is an Error with
// its number.
std::vector<MetricsRow> read_metrics(const std::string& path);

}  // namespace fovea
