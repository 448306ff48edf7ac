// The house rules that a compiler does not check: which folder may include which, and the size of files and
// lines.
#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr size_t longest_line = 140, longest_file = 500;

// In the order of the arrows: each includes itself and those before it. cli and examples are tops beside each
// other, and tests and bench see everything. A folder that is in no layer (train/new) is a fault.
const std::vector<std::string> layers = {"cuda",
                                         "core",
                                         "ops/support",
                                         "ops",
                                         "nn",
                                         "nn/io",
                                         "models",
                                         "models/onnx",
                                         "train/data",
                                         "train/evaluation",
                                         "train/report",
                                         "train/optim",
                                         "train/parallel",
                                         "train/loop",
                                         "train/detection",
                                         "train/classification",
                                         "train/diagnose",
                                         "train/run"};
const std::vector<std::string> tops = {"cli", "examples"};
const std::vector<std::string> all_seeing = {"tests", "bench"};

bool is_in(const std::string& path, const std::string& folder) { return path.starts_with(folder + "/"); }

// The place of a file in the order; tops come after all layers. Nothing for files of other projects.
std::optional<size_t> rank(const std::string& path) {
  std::optional<size_t> found;  // the innermost: models/onnx, not models
  for (size_t i = 0; i < layers.size(); ++i)
    if (is_in(path, layers[i]) && (!found || layers[i].size() > layers[*found].size())) found = i;
  if (found) return found;
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

// Files that lie where no room is, and rooms with more stems than a reader takes in; a .h and its .cpp are
// one stem. In ops and cuda/kernels a stem is an op.
constexpr size_t max_stems = 20;
const std::vector<std::string> tops_of_layers = {"cuda", "core", "ops", "nn", "models", "train"};
std::vector<std::string> room_faults(const std::vector<std::string>& paths) {
  std::vector<std::string> found;
  std::map<std::string, std::set<std::string>> stems;
  for (const std::string& path : paths) {
    if (any_holds(all_seeing, path) || is_in(path, "examples")) continue;
    if (any_holds(tops_of_layers, path) && !rank(path))
      found.push_back(path + " lies in no room of its folder");
    const size_t slash = path.rfind('/');
    stems[path.substr(0, slash)].insert(path.substr(slash + 1, path.rfind('.') - slash - 1));
  }
  for (const auto& [room, names] : stems)
    if (names.size() > max_stems && room != "ops" && room != "cuda/kernels")
      found.push_back(room + " has " + std::to_string(names.size()) + " stems, over " +
                      std::to_string(max_stems));
  return found;
}

// "Small enough to read" must be able to fail: lines of sources.
constexpr size_t framework_lines = 20000, product_lines = 42000;
const std::vector<std::string> framework = {"cuda", "core", "ops", "nn"};
const std::vector<std::string> product = {"cuda", "core", "ops", "nn", "models", "train", "cli"};

// Below train/ a message is about arguments: code that is used without the program has no flags. A flag with
// its command before it ("cmake --preset release") says whose it is.
const std::vector<std::string> without_flags = {"cuda", "core", "ops", "nn", "models"};
std::vector<std::string> flag_faults(const std::string& path, const std::string& text) {
  static const std::regex comment_or_literal(R"re(//[^\n]*|"((?:\\.|[^"\\\n])*)")re");
  static const std::regex flag(R"((\S*)(^|\s)(--[a-z][a-z-]*))");
  std::vector<std::string> found;
  const std::sregex_iterator end;
  for (std::sregex_iterator literal(text.begin(), text.end(), comment_or_literal); literal != end;
       ++literal) {
    const std::string words = literal->str(1);
    for (std::sregex_iterator it(words.begin(), words.end(), flag); it != end; ++it) {
      const std::string command = it->str(1);
      if (!command.ends_with("cmake") && !command.starts_with("scripts/"))
        found.push_back(path + " speaks of the flag " + it->str(3) + ": name the argument in words");
    }
  }
  return found;
}

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file);
  return {std::istreambuf_iterator<char>(file), {}};
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
    for (const std::string& fault : faults(path, text_of(root / path))) FAIL_CHECK(fault);
  }
  for (const std::string& fault : room_faults(paths)) FAIL_CHECK(fault);
}

TEST_CASE("messages below train speak of arguments, not of the program's flags") {
  const std::filesystem::path root = FOVEA_SOURCE_DIR;
  for (const std::string& path : source_files(root)) {
    if (!any_holds(without_flags, path)) continue;
    for (const std::string& fault : flag_faults(path, text_of(root / path))) FAIL_CHECK(fault);
  }
  CHECK(flag_faults("core/a.cpp", "fail(\"try a smaller --batch-size\");  // \"--model\"\n") ==
        std::vector<std::string>{"core/a.cpp speaks of the flag --batch-size: name the argument in words"});
  CHECK(
      flag_faults("core/a.cpp", "--i; // as --gpu takes it\nf(\"build it (cmake --preset cuda)\");").empty());
  CHECK(flag_faults("core/a.cpp", "f(\"{}: scripts/kernel_report --update\", --i, \"-- a dash\");").empty());
  CHECK(flag_faults("core/a.cpp", "f(\"--model\");").size() == 1);
}

TEST_CASE("the framework and the product stay small enough to read") {
  const std::filesystem::path root = FOVEA_SOURCE_DIR;
  size_t of_framework = 0, of_product = 0;
  for (const std::string& path : source_files(root)) {
    if (!any_holds(product, path)) continue;
    const std::string text = text_of(root / path);
    const auto lines = size_t(std::count(text.begin(), text.end(), '\n'));
    of_product += lines;
    if (any_holds(framework, path)) of_framework += lines;
  }
  CHECK(of_framework > 10000);
  CHECK(of_framework <= framework_lines);
  CHECK(of_product <= product_lines);
}

TEST_CASE("a file outside the rooms and a room with too many stems are found") {
  CHECK(room_faults({"train/new.cpp"}) ==
        std::vector<std::string>{"train/new.cpp lies in no room of its folder"});
  CHECK(room_faults({"train/new/a.h", "train/loop/a.h", "core/a.h", "cli/a.h", "tests/b.h"}) ==
        std::vector<std::string>{"train/new/a.h lies in no room of its folder"});
  std::vector<std::string> many;
  for (char c = 'a'; c <= 'u'; ++c)
    for (const char* extension : {".h", ".cpp"}) many.push_back(std::string("nn/") + c + extension);
  CHECK(room_faults(many) == std::vector<std::string>{"nn has 21 stems, over 20"});
  many.resize(40);
  CHECK(room_faults(many).empty());
}

TEST_CASE("an include against the arrows is found") {
  CHECK(
      faults("core/tensor.cpp", "#include \"ops/add.h\"\n") ==
      std::vector<std::string>{"core/tensor.cpp:1 includes ops/add.h, against the direction of the arrows"});
  CHECK(may_include("cli/main.cpp", "cuda/platform.h"));
  CHECK(may_include("ops/add.cpp", "ops/support/dispatch.h"));
  CHECK_FALSE(may_include("cuda/device/math.h", "core/tensor.h"));
  CHECK_FALSE(may_include("models/nms.cpp", "train/detection/matching.h"));
  CHECK_FALSE(may_include("models/nms.cpp", "tests/support/test_data.h"));
  CHECK_FALSE(may_include("examples/01_tape.cpp", "cli/progress.h"));
  CHECK_FALSE(may_include("cli/main.cpp", "examples/lesson.h"));
  CHECK(may_include("bench/op_bench.cpp", "cli/progress.h"));
}

TEST_CASE("the arrows inside train point from data to the loop") {
  CHECK(may_include("train/evaluation/voc.h", "train/data/dataset.h"));
  CHECK(may_include("train/loop/trainer.h", "train/report/metrics.h"));
  CHECK_FALSE(may_include("train/data/dataset.h", "train/evaluation/voc.h"));
  CHECK_FALSE(may_include("train/report/draw.h", "train/loop/trainer.h"));
  CHECK(may_include("train/detection/detection_task.h", "train/loop/trainer.h"));
  CHECK_FALSE(may_include("train/loop/trainer.h", "train/detection/matching.h"));
  CHECK_FALSE(may_include("train/optim/optimizer.h", "train/loop/config.h"));
  CHECK_FALSE(may_include("ops/support/dispatch.h", "ops/matmul.h"));
  CHECK_FALSE(may_include("models/efficientnet.h", "models/onnx/export.h"));
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
