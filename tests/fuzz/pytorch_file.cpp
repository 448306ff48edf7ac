// PyTorch's files, both layouts: the archive, the pickle, and every tensor.
#include "nn/io/pytorch_file.h"

#include "tests/fuzz/harness.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fovea;
  static MemoryFile memory;
  memory.set(data, size);
  result_or_error([&] {
    const PyTorchFile file(memory.path());
    for (const auto& entry : file.entries()) {
      expect(file.find(entry.name) == &entry);
      expect(size_t(entry.shape.numel()) <= size);  // a tensor's numbers are all in the file
      result_or_error([&] { expect(file.read(entry).shape() == entry.shape); });
      result_or_error([&] { expect(file.read_float32(entry).shape() == entry.shape); });
    }
  });
  return 0;
}
