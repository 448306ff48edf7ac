// Arrays in MNIST's format.
#include "train/data/loader/idx.h"

#include "tests/fuzz/harness.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fovea;
  static MemoryFile file;
  file.set(data, size);
  result_or_error([&] { expect(size_t(read_idx(file.path()).numel()) < size); });
  return 0;
}
