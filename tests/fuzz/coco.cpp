// COCO annotation files.
#include "train/data/coco.h"
#include "tests/fuzz/harness.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fovea;
  static MemoryFile file;
  file.set(data, size);
  // With the classes of the file or of a model, with the images or without: only one of these at a time, for
  // speed.
  const std::vector<std::string> classes =
      size % 2 ? std::vector<std::string>{"cat", "dog"} : std::vector<std::string>{};
  const bool require_images = size % 8 == 0;
  ReadLog log;
  result_or_error([&] {
    read_coco(file.path(), {"/nowhere"}, classes, {.require_images = require_images, .log = &log});
  });
  for (const Problem& fault : log.faults) expect(!fault.text.empty());
  return 0;
}
