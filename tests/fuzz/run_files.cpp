// Gives files to a harness without a fuzzer, so that every test run repeats what fuzzing found: each seed and
// regression unchanged, cut at every length, and damaged at random places.   fuzz_<harness> FOLDER...
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "core/random.h"
#include "tests/fuzz/harness.h"

namespace {

namespace fs = std::filesystem;

void run(const std::string& bytes) {
  // A copy of exactly this size, so that the address sanitizer detects a read past its end.
  const std::vector<uint8_t> copy(bytes.begin(), bytes.end());
  LLVMFuzzerTestOneInput(copy.data(), copy.size());
}

// Cut at every length; of a long file at 256 lengths of the whole range.
void run_cut(const std::string& bytes) {
  const size_t step = std::max<size_t>(1, bytes.size() / 256);
  for (size_t size = 0; size < bytes.size(); size += step) run(bytes.substr(0, size));
}

// One to four bytes replaced, a part left out, or a part repeated.
void run_damaged(const std::string& bytes, uint64_t stream) {
  constexpr int times = 100;
  fovea::Random random(1, stream);
  const auto below = [&](size_t end) { return size_t(random.below(int64_t(end))); };
  for (int i = 0; i < times && !bytes.empty(); ++i) {
    std::string damaged = bytes;
    const size_t at = below(bytes.size()), length = 1 + below(std::min<size_t>(bytes.size() - at, 64));
    if (i % 4 == 0)
      damaged.erase(at, length);
    else if (i % 4 == 1)
      damaged.insert(at, bytes.substr(at, length));
    else
      for (size_t k = 0; k <= below(4); ++k) damaged[below(damaged.size())] = char(below(256));
    run(damaged);
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<fs::path> files;
  for (int i = 1; i < argc; ++i)
    if (fs::is_directory(argv[i]))
      for (const auto& entry : fs::directory_iterator(argv[i])) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  if (files.empty()) return std::fprintf(stderr, "no file was given: name a folder that contains files\n"), 1;
  for (size_t i = 0; i < files.size(); ++i) {
    std::fprintf(stderr, "%s\n", files[i].c_str());  // the last one printed is the one that failed
    std::ifstream stream(files[i], std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
    run(bytes);
    run_cut(bytes);
    run_damaged(bytes, i);
  }
  std::printf("%zu files, whole, cut and damaged: each gave a result or an error\n", files.size());
  return 0;
}
