// The house rules that a compiler does not check: which folder may include which, and the size of files and
// lines.
#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr size_t longest_line = 140, longest_file = 500;

// In the order of the arrows: each includes itself and those before it. cli and examples are tops beside each
// other, and tests and bench see everything.
const std::vector<std::string> layers = {
    "cuda", "core", "ops", "nn", "models", "train/data", "train/evaluation", "train/report", "train"};
const std::vector<std::string> tops = {"cli", "examples"};
const std::vector<std::string> all_seeing = {"tests", "bench"};

bool is_in(const std::string& path, const std::string& folder) { return path.starts_with(folder + "/"); }

// The place of a file in the order; tops come after all layers. Nothing for files of other projects.
std::optional<size_t> rank(const std::string& path) {
  for (size_t i = 0; i < layers.size(); ++i)
    if (is_in(path, layers[i])) return i;  // train/data comes before train, whose name it starts with
  for (size_t i = 0; i < tops.size(); ++i)
    if (is_in(path, tops[i])) return layers.size() + i;
  return std::nullopt;
}

bool any_holds(const std::vector<std::string>& folders, const std::string& path) {
  return std::any_of(folders.begin(), folders.end(), [&](const auto& folder) { return is_in(path, folder); });
}

bool may_include(const std::string& from, const std::string& to) {
  if (any_holds(all_seeing, from)) return true;
  if (any_holds(all_seeing, to)) return false;
  const auto from_rank = rank(from), to_rank = rank(to);
  if (!from_rank || !to_rank) return true;
  return *to_rank <= *from_rank && (*to_rank == *from_rank || *to_rank < layers.size());
}

// The name in #include "name"; nothing on other lines.
std::optional<std::string> included(std::string_view line) {
  constexpr std::string_view directive = "#include \"";
  if (!line.starts_with(directive)) return std::nullopt;
  line.remove_prefix(directive.size());
  return std::string(line.substr(0, line.find('"')));
}

// Columns, not bytes: a character of several bytes in UTF-8 counts once.
size_t columns(const std::string& line) {
  return size_t(std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

// What is wrong with one source file, a sentence each. `path` is relative to the root of the project.
std::vector<std::string> faults(const std::string& path, const std::string& text) {
  std::vector<std::string> found;
  std::istringstream lines(text);
  size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    const std::string place = path + ":" + std::to_string(++number);
    const auto target = included(line);
    if (target && !may_include(path, *target))
      found.push_back(place + " includes " + *target + ", against the direction of the arrows");
    if (columns(line) > longest_line)
      found.push_back(place + " has " + std::to_string(columns(line)) + " columns, over " +
                      std::to_string(longest_line));
  }
  if (number > longest_file)
    found.push_back(path + " has " + std::to_string(number) + " lines, over " + std::to_string(longest_file));
  if (path.ends_with(".h") && text.find("#pragma once\n") == std::string::npos)
    found.push_back(path + " lacks #pragma once");
  return found;
}

std::vector<std::string> source_files(const std::filesystem::path& root) {
  std::vector<std::string> paths;
  for (const char* top :
       {"cuda", "core", "ops", "nn", "models", "train", "cli", "examples", "tests", "bench"}) {
    if (!std::filesystem::exists(root / top)) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root / top)) {
      const std::string extension = entry.path().extension();
      if (extension == ".h" || extension == ".cpp" || extension == ".cu" || extension == ".cuh")
        paths.push_back(entry.path().lexically_relative(root).generic_string());
    }
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

}  // namespace

TEST_CASE("the sources keep the direction of the arrows and the size of files and lines") {
  const std::filesystem::path root = FOVEA_SOURCE_DIR;
  const auto paths = source_files(root);
  REQUIRE(paths.size() > 50);
  for (const std::string& path : paths) {
    std::ifstream file(root / path, std::ios::binary);
    REQUIRE(file);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    for (const std::string& fault : faults(path, text)) FAIL_CHECK(fault);
  }
}

TEST_CASE("an include against the arrows is found") {
  CHECK(
      faults("core/tensor.cpp", "#include \"ops/add.h\"\n") ==
      std::vector<std::string>{"core/tensor.cpp:1 includes ops/add.h, against the direction of the arrows"});
  CHECK(may_include("cli/main.cpp", "cuda/platform.h"));
  CHECK(may_include("ops/add.cpp", "ops/dispatch.h"));
  CHECK_FALSE(may_include("cuda/device/math.h", "core/tensor.h"));
  CHECK_FALSE(may_include("models/nms.cpp", "train/matching.h"));
  CHECK_FALSE(may_include("models/nms.cpp", "tests/support/test_data.h"));
  CHECK_FALSE(may_include("examples/01_tape.cpp", "cli/progress.h"));
  CHECK_FALSE(may_include("cli/main.cpp", "examples/lesson.h"));
  CHECK(may_include("bench/op_bench.cpp", "cli/progress.h"));
}

TEST_CASE("the arrows inside train point from data to the loop") {
  CHECK(may_include("train/evaluation/voc.h", "train/data/dataset.h"));
  CHECK(may_include("train/trainer.h", "train/report/metrics.h"));
  CHECK_FALSE(may_include("train/data/dataset.h", "train/evaluation/voc.h"));
  CHECK_FALSE(may_include("train/report/draw.h", "train/trainer.h"));
}

TEST_CASE("a header without its guard, a long line and a long file are found") {
  CHECK(faults("core/a.h", "struct A;\n") == std::vector<std::string>{"core/a.h lacks #pragma once"});
  CHECK(faults("core/a.cpp", "struct A;\n").empty());
  std::string line;
  for (size_t i = 0; i < longest_line; ++i) line += "é";
  CHECK(faults("core/a.cpp", line + "\n").empty());
  CHECK(faults("core/a.cpp", line + "é\n") ==
        std::vector<std::string>{"core/a.cpp:1 has 141 columns, over 140"});
  const std::string file(longest_file, '\n');
  CHECK(faults("core/a.cpp", file).empty());
  CHECK(faults("core/a.cpp", file + "\n") == std::vector<std::string>{"core/a.cpp has 501 lines, over 500"});
}
