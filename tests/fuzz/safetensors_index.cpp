// An index of weights beside two small files, a.safetensors and b.safetensors: it refers to these or to no
// file.
#include "nn/io/safetensors_index.h"

#include <algorithm>

#include "tests/fuzz/harness.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fovea;
  static const FileFolder folder;
  static const bool written = [] {
    write_safetensors(folder / "a.safetensors", {}, {{"x", Tensor({2})}, {"y", Tensor({1, 3})}});
    write_safetensors(folder / "b.safetensors", {{"format", "pt"}}, {{"z", Tensor({0})}});
    return true;
  }();
  expect(written);
  folder.write("index.json", data, size);
  result_or_error([&] {
    const auto file = open_weight_file(folder / "index.json");
    const auto files = file->files();
    expect(std::all_of(files.begin(), files.end(), [](const std::string& path) {
      return path == folder / "index.json" || path == folder / "a.safetensors" ||
             path == folder / "b.safetensors";
    }));
    for (const auto& entry : file->entries())
      result_or_error([&] { expect(file->read_float32(entry).shape() == entry.shape); });
  });
  return 0;
}
