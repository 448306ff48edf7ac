// safetensors files: the header, and every tensor as it is and as float32.
#include "nn/io/safetensors.h"

#include "tests/fuzz/harness.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fovea;
  static MemoryFile memory;
  memory.set(data, size);
  result_or_error([&] {
    const SafetensorsFile file(memory.path());
    size_t bytes = 0;
    for (const auto& entry : file.entries()) {
      expect(file.find(entry.name) == &entry);
      bytes += entry.content.size();
      result_or_error([&] { expect(file.read(entry).bytes() == int64_t(entry.content.size())); });
      result_or_error([&] { expect(file.read_float32(entry).shape() == entry.shape); });
    }
    expect(bytes < size);
  });
  return 0;
}
