// YOLO's YAML file: names and splits. The splits' folders are not read: they may be any of this machine's.
#include "train/data/layout/yolo_layout.h"
#include "tests/fuzz/harness.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fovea;
  static const FileFolder folder;
  folder.write("data.yaml", data, size);
  result_or_error([&] { find_yolo_layout(folder.path()); });
  return 0;
}
