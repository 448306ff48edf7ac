// The house rules that a compiler does not check: which folder may include which, the size of files and
// lines, and that the library's messages do not speak of the program's flags.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cctype>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
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
                                         "models/quantization",
                                         "train/data",
                                         "train/evaluation",
                                         "train/report",
                                         "train/optim",
                                         "train/parallel",
                                         "train/loop",
                                         "train/detection",
                                         "train/classification",
                                         "train/run",
                                         "train/diagnose"};
const std::vector<std::string> tops = {"cli", "examples", "exercises"};
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
    if (any_holds(all_seeing, path) || is_in(path, "examples") || is_in(path, "exercises")) continue;
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
constexpr size_t framework_lines = 26300, product_lines = 55000;
const std::vector<std::string> framework = {"cuda", "core", "ops", "nn"};
const std::vector<std::string> product = {"cuda", "core", "ops", "nn", "models", "train", "cli"};

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> source_files(const std::filesystem::path& root) {
  std::vector<std::string> paths;
  for (const char* top :
       {"cuda", "core", "ops", "nn", "models", "train", "cli", "examples", "exercises", "tests", "bench"}) {
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

bool is_part_of_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// The contents of a source's string literals, and the lines that they begin on; comments are none.
std::vector<std::pair<size_t, std::string>> string_literals(const std::string& text) {
  std::vector<std::pair<size_t, std::string>> found;
  const auto line_of = [&](size_t at) {
    return size_t(std::count(text.begin(), text.begin() + long(at), '\n')) + 1;
  };
  const auto end_of = [&](const std::string& mark, size_t from) {
    return std::min(text.find(mark, from), text.size());
  };
  for (size_t at = 0; at < text.size(); ++at) {
    if (text.compare(at, 2, "//") == 0) {
      at = end_of("\n", at);
    } else if (text.compare(at, 2, "/*") == 0) {
      at = end_of("*/", at + 2) + 1;
    } else if (text.compare(at, 2, "R\"") == 0 && (at == 0 || !is_part_of_word(text[at - 1]))) {
      const size_t open = end_of("(", at);
      const std::string mark = std::string(")").append(text, at + 2, open - at - 2).append("\"");
      const size_t close = end_of(mark, open);
      found.emplace_back(line_of(at), text.substr(open + 1, close - open - 1));
      at = close + mark.size() - 1;
    } else if (text[at] == '"' || (text[at] == '\'' && (at == 0 || !is_part_of_word(text[at - 1])))) {
      const size_t begin = at + 1;  // of a string or a character; 1'000 is neither
      const char quote = text[at];
      for (++at; at < text.size() && text[at] != quote; ++at) at += text[at] == '\\';
      if (quote == '"')
        found.emplace_back(line_of(begin), text.substr(begin, std::min(at, text.size()) - begin));
    }
  }
  return found;
}

// Where string literals name a flag, "--batch-size" or "--{}". The flags of cmake and of scripts/ are no
// flags of the program; CSS has names that look alike: var(--ink) and --ink:#fff.
std::vector<std::string> flags_in(const std::string& path, const std::string& text) {
  std::vector<std::string> found;
  for (const auto& [line, literal] : string_literals(text))
    for (size_t at = literal.find("--"); at != std::string::npos; at = literal.find("--", at + 2)) {
      size_t end = at + 2;
      while (end < literal.size() && (is_part_of_word(literal[end]) || std::strchr("-{}", literal[end])))
        ++end;
      const bool css = literal.substr(0, at).ends_with("var(") ||
                       (literal.compare(end, 1, ":") == 0 && literal.compare(end, 2, ": ") != 0);
      const std::string before = literal.substr(0, at);
      const size_t space = before.rfind(' ', before.size() - 2);
      const std::string command = before.substr(space == std::string::npos ? 0 : space + 1);
      const bool of_the_build = command.ends_with("cmake ") || command.starts_with("scripts/");
      const char first = at + 2 < literal.size() ? literal[at + 2] : ' ';
      if (css || of_the_build || !(std::islower(static_cast<unsigned char>(first)) || first == '{')) continue;
      found.push_back(path + ":" + std::to_string(line) + " names the flag " + literal.substr(at, end - at) +
                      ": name the field or the argument, in backticks");
    }
  return found;
}

// The library does not know the program's flags: its messages name fields and arguments, and cli/flag_names.h
// makes flags of them.
const std::vector<std::string> folders_without_flags = {"cuda", "core", "ops", "nn", "models", "train"};

// The faults of flags_in() in all sources of these folders.
std::vector<std::string> names_flags(const std::vector<std::string>& folders) {
  std::vector<std::string> found;
  const std::filesystem::path root = FOVEA_SOURCE_DIR;
  for (const std::string& path : source_files(root)) {
    if (!any_holds(folders, path)) continue;
    const auto more = flags_in(path, text_of(root / path));
    found.insert(found.end(), more.begin(), more.end());
  }
  return found;
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

TEST_CASE("<fovea/fovea.h> has every op, layer and model") {
  const std::filesystem::path root = FOVEA_SOURCE_DIR;
  const std::string umbrella = text_of(root / "fovea.h");
  for (const char* folder : {"ops", "nn", "nn/io", "models"})
    for (const auto& entry : std::filesystem::directory_iterator(root / folder)) {
      const std::string name = std::string(folder) + "/" + entry.path().filename().string();
      if (!name.ends_with(".h") || name == "nn/io/json.h") continue;
      INFO(name);
      CHECK(umbrella.find("\n#include \"" + name + "\"\n") != std::string::npos);
    }
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

TEST_CASE("the library's messages name fields and arguments, not flags") {
  for (const std::string& fault : names_flags(folders_without_flags)) FAIL_CHECK(fault);
}

TEST_CASE("a flag in a string literal is found, in a comment and in CSS it is none") {
  const auto flags = [](const std::string& text) { return flags_in("train/a.cpp", text); };
  CHECK(flags("int a;\nfail(\"give --batch-size\");") ==
        std::vector<std::string>{
            "train/a.cpp:2 names the flag --batch-size: name the field or the argument, in backticks"});
  CHECK(flags("fail(\"--{} and --{}-split: see\")").size() == 2);
  CHECK(flags("fail(\"leave out --model: a checkpoint knows it\")").size() == 1);
  CHECK(flags("fail(R\"x(\"give\")\" --data)x\", \"--run\")").size() == 2);
  CHECK(flags("a = '\"'; b = 1'000; fail(\"\\\" --data\");").size() == 1);
  CHECK(flags("f(\"build it (cmake --preset cuda)\"); g(\"{}: scripts/kernel_report --update\");").empty());
  CHECK(flags("--count;  // as --count says\n/* \"--data\" */ a = \"b\";").empty());
  CHECK(
      flags("a = \"fill:var(--ink,#fff);--page:#000;--curve-0:#111\"; b = \"a -- b, <!-- c -->\";").empty());
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
