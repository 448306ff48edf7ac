// Detections as text files, one a picture.
#include "train/evaluation/box_folder.h"
#include "tests/fuzz/harness.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fovea;
  static const FileFolder folder;
  folder.write("truth/1.txt", "cat 1 2 10 10\n");
  folder.write("found/1.txt", data, size);
  result_or_error([&] { read_box_folders(folder / "truth", folder / "found"); });
  folder.write("truth/1.txt", data, size);
  result_or_error([&] { read_box_folders(folder / "truth", folder / "found"); });
  return 0;
}
