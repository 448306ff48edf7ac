// YOLO's text files of boxes.
#include "tests/fuzz/harness.h"
#include "train/data/image/image_io.h"
#include "train/data/yolo.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fovea;
  static const FileFolder folder;
  static const bool prepared = [] {
    folder.write("classes.txt", "cat\ndog\n");
    folder.write("images/train/1.png", encode_png(Image(40, 30)));
    return true;
  }();
  expect(prepared);
  folder.write("labels/train/1.txt", data, size);
  // The classes of the data set or of a model: one of them each time, for speed.
  const std::vector<std::string> classes =
      size % 2 ? std::vector<std::string>{"dog"} : std::vector<std::string>{};
  ReadLog log;
  result_or_error([&] { read_yolo(folder.path(), {"train"}, classes, &log); });
  for (const Problem& fault : log.faults) expect(!fault.text.empty());
  return 0;
}
