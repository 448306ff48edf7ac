// Pascal VOC's XML files.
#include "train/data/voc.h"
#include "tests/fuzz/harness.h"
#include "train/data/image/image_io.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fovea;
  static const FileFolder folder;
  static const bool prepared = [] {
    folder.write("JPEGImages/1.png", encode_png(Image(40, 30)));
    folder.write("ImageSets/Main/train.txt", "1\n");
    return true;
  }();
  expect(prepared);
  folder.write("Annotations/1.xml", data, size);
  const std::vector<std::string> lists{folder / "ImageSets/Main/train.txt"};
  // The classes of the file or of a model: one of them each time, for speed.
  const std::vector<std::string> classes =
      size % 2 ? std::vector<std::string>{"cat", "dog"} : std::vector<std::string>{};
  ReadLog log;
  result_or_error([&] { read_voc(folder.path(), lists, classes, &log); });
  for (const Problem& fault : log.faults) expect(!fault.text.empty());
  return 0;
}
