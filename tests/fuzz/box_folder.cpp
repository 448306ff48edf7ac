// Detections as text files, one for each image.
#include "train/evaluation/box_folder.h"
#include "tests/fuzz/harness.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fovea;
  static const FileFolder folder;
  folder.write(size % 2 ? "found/1.txt" : "truth/1.txt", data, size);
  folder.write(size % 2 ? "truth/1.txt" : "found/1.txt",
               size % 2 ? "cat 1 2 10 10\n" : "cat 0.5 1 2 10 10\n");
  result_or_error([&] { read_box_folders(folder / "truth", folder / "found"); });
  return 0;
}
