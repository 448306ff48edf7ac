// COCO annotation files.
#include "train/data/coco.h"
#include "tests/fuzz/harness.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fovea;
  static MemoryFile file;
  file.set(data, size);
  ReadLog log;
  result_or_error([&] { read_coco(file.path(), {}, {}, {.require_images = false}); });
  result_or_error([&] {
    read_coco(file.path(), {}, {"cat", "dog"}, {.require_images = false, .log = &log});
  });
  result_or_error([&] { read_coco(file.path(), {"/nowhere"}, {}, {.log = &log}); });
  for (const Fault& fault : log.faults) expect(!fault.text.empty());
  return 0;
}
