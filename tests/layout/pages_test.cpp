// The pages in Markdown agree with the tree: code that they quote is the sources' code, a line that they name
// is where they say, and their links lead to files and headings that are there.
//
//   <!-- excerpt: core/autograd.cpp "Tensor record(" -->           the declaration that begins on the line
//   with this text
//   <!-- excerpt: cuda/sim/scheduler.cpp "while (fault" .. "}" -->  from that line to the next one with the
//   second text [core/autograd.cpp:62](../core/autograd.cpp#L62 "Tensor record(")   the line with this text
//
// An excerpt stands in the block of code below its comment, so that it is readable on GitHub as well. Several
// parts are separated by commas, and by "// ..." in the block. A text stands on exactly one line of its file.
// FOVEA_UPDATE_PAGES=1 build/tests/test_layout "pages*" writes the sources' code and line numbers into the
// pages.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <regex>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using Lines = std::vector<std::string>;
using Files =
    std::function<std::string(const std::string& path)>;  // the text of a file; throws where there is none

Lines lines_of(const std::string& text) {
  Lines lines;
  size_t begin = 0;
  for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
    lines.push_back(text.substr(begin, end - begin));
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

size_t indentation(const std::string& line) { return std::min(line.find_first_not_of(' '), line.size()); }

std::string file_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path))
    throw std::runtime_error("there is no file " + path.filename().string());
  return {std::istreambuf_iterator<char>(file), {}};
}

// The index of the only line with this text.
size_t line_with(const Lines& lines, const std::string& text, const std::string& path) {
  std::vector<size_t> found;
  for (size_t i = 0; i < lines.size(); ++i)
    if (lines[i].find(text) != std::string::npos) found.push_back(i);
  if (found.size() != 1)
    throw std::runtime_error(path + " has " + std::to_string(found.size()) + " lines with \"" + text +
                             "\": name a text that is on one line");
  return found[0];
}

// The index of the line on which the declaration that begins on this one ends: its brackets are closed again,
// and it ends in ; or }.
size_t end_of_declaration(const Lines& lines, size_t first) {
  int depth = 0;
  for (size_t i = first; i < lines.size(); ++i) {
    std::string code = lines[i].substr(0, lines[i].find("//"));
    for (const char c : code)
      depth += c == '(' || c == '{' || c == '[' ? 1 : c == ')' || c == '}' || c == ']' ? -1 : 0;
    while (!code.empty() && code.back() == ' ') code.pop_back();
    if (depth <= 0 && !code.empty() && (code.back() == ';' || code.back() == '}')) return i;
  }
  throw std::runtime_error("the declaration has no end: " + lines[first]);
}

// What an excerpt's comment describes, without the indentation that all of its lines share.
Lines excerpt(const std::string& path, const std::string& parts, const Files& files) {
  static const std::regex part_form("\"([^\"]+)\"( \\.\\. \"([^\"]+)\")?(, |$)");
  const Lines source = lines_of(files(path));
  Lines result;
  std::string read;
  for (std::sregex_iterator part(parts.begin(), parts.end(), part_form), end; part != end; ++part) {
    read += part->str();
    const size_t first = line_with(source, (*part)[1], path);
    size_t last = first + 1;
    if ((*part)[2].matched)
      while (last < source.size() && source[last].find((*part)[3].str()) == std::string::npos) ++last;
    else
      last = end_of_declaration(source, first);
    if (last >= source.size())
      throw std::runtime_error(path + " has no line with the second text of " + part->str());
    if (!result.empty()) result.push_back(std::string(indentation(source[first]), ' ') + "// ...");
    result.insert(result.end(), source.begin() + long(first), source.begin() + long(last) + 1);
  }
  if (result.empty() || read != parts)
    throw std::runtime_error("the comment of an excerpt cannot be read: " + parts);
  size_t shared = std::string::npos;
  for (const std::string& line : result)
    if (!line.empty()) shared = std::min(shared, indentation(line));
  for (std::string& line : result) line.erase(0, std::min(shared, line.size()));
  return result;
}

// A path that a page links to, from the root of the tree.
std::string target_of(const std::string& page, const std::string& link) {
  return (std::filesystem::path(page).parent_path() / link).lexically_normal().generic_string();
}

// A line of a page with the numbers of the lines that it links to.
std::string with_line_numbers(const std::string& page, const std::string& line, const Files& files) {
  static const std::regex any_form("\\]\\(([^)\\s#]+)#L[0-9]");
  static const std::regex form(":[0-9]+\\]\\(([^)\\s#]+)#L[0-9]+ \"([^\"]+)\"\\)");
  const auto count = [&](const std::regex& regex) {
    return std::distance(std::sregex_iterator(line.begin(), line.end(), regex), std::sregex_iterator());
  };
  if (count(any_form) != count(form))
    throw std::runtime_error("a link to a line has the form [file:12](path/file#L12 \"text of the line\")");
  std::string result;
  auto rest = line.begin();
  for (std::sregex_iterator link(line.begin(), line.end(), form), end; link != end; ++link) {
    const std::string path = target_of(page, (*link)[1]);
    const std::string number = std::to_string(line_with(lines_of(files(path)), (*link)[2], path) + 1);
    result.append(rest, (*link)[0].first);
    result += ":" + number + "](" + (*link)[1].str() + "#L" + number + " \"" + (*link)[2].str() + "\")";
    rest = (*link)[0].second;
  }
  return result.append(rest, line.end());
}

// The page as it should be. What cannot be brought up to date is added to the faults.
std::string updated(const std::string& page, const std::string& text, const Files& files, Lines& faults) {
  static const std::regex comment("( *)<!-- excerpt: (\\S+) (.*) -->");
  std::string result;
  const Lines lines = lines_of(text);
  bool quoted = false;  // in a block of code
  for (size_t i = 0; i < lines.size(); ++i) {
    const size_t number = i + 1;
    try {
      const bool fence = lines[i].compare(indentation(lines[i]), 3, "```") == 0;
      quoted = quoted != fence;
      result += (quoted || fence ? lines[i] : with_line_numbers(page, lines[i], files)) + "\n";
      std::smatch match;
      if (quoted || !std::regex_match(lines[i], match, comment)) continue;
      const std::string indent = match[1];
      size_t end = i + 2;
      while (end < lines.size() && lines[end] != indent + "```") ++end;
      if (end >= lines.size() || lines[i + 1].rfind(indent + "```", 0) != 0)
        throw std::runtime_error(
            "an excerpt's comment stands above a block of code that is indented as it is");
      const Lines code = excerpt(match[2], match[3], files);
      result += lines[i + 1] + "\n";
      for (const std::string& line : code) result += (line.empty() ? "" : indent + line) + "\n";
      result += lines[end] + "\n";
      i = end;
    } catch (const std::exception& error) {
      faults.push_back(page + ":" + std::to_string(number) + ": " + error.what());
    }
  }
  return result;
}

// The anchors that GitHub gives to a page's headings.
std::set<std::string> anchors(const std::string& text) {
  std::set<std::string> found;
  bool quoted = false;
  for (const std::string& line : lines_of(text)) {
    quoted = quoted != (line.compare(indentation(line), 3, "```") == 0);
    if (quoted || line.rfind('#', 0) != 0) continue;
    std::string anchor;
    for (const char c : line.substr(line.find(' ') + 1))
      if (c == ' ' || c == '-')
        anchor += '-';
      else if (std::isalnum(static_cast<unsigned char>(c)) || c == '_' || (c & 0x80))
        anchor += char(std::tolower(static_cast<unsigned char>(c)));
    found.insert(anchor);
  }
  return found;
}

// The links of a page that lead to no file or heading of the tree; those to other sites are left out.
Lines dead_links(const std::string& page, const std::string& text, const Files& files) {
  static const std::regex form("\\]\\(([^)\\s]+)( \"[^\"]*\")?\\)"), code("`[^`]*`");
  Lines found;
  bool quoted = false;
  size_t number = 0;
  for (const std::string& raw : lines_of(text)) {
    ++number;
    quoted = quoted != (raw.compare(indentation(raw), 3, "```") == 0);
    if (quoted) continue;
    const std::string line = std::regex_replace(raw, code, "");
    for (std::sregex_iterator link(line.begin(), line.end(), form), end; link != end; ++link) {
      const std::string target = (*link)[1], path = target.substr(0, target.find('#'));
      if (target.find("://") != std::string::npos) continue;
      const std::string where = page + ":" + std::to_string(number) + " links to " + target + ", ";
      try {
        const std::string linked = path.empty() ? text : files(target_of(page, path));
        const std::string anchor = target.size() > path.size() ? target.substr(path.size() + 1) : "";
        const bool of_a_page = path.empty() || path.ends_with(".md");
        if (!anchor.empty() && of_a_page && !anchors(linked).count(anchor))
          found.push_back(where + "a heading that is not there");
      } catch (const std::exception&) {
        found.push_back(where + "which is not there");
      }
    }
  }
  return found;
}

Lines all_pages() {
  const std::filesystem::path root = FOVEA_SOURCE_DIR;
  Lines pages;
  for (const char* folder :
       {"", "docs", "bench", "bench/results", "cuda/sim", "examples", "examples/ladders"})
    for (const auto& entry : std::filesystem::directory_iterator(root / folder))
      if (entry.path().extension() == ".md")
        pages.push_back(entry.path().lexically_relative(root).generic_string());
  for (const auto& entry : std::filesystem::directory_iterator(root / "examples"))
    if (entry.is_directory() && entry.path().filename() != "ladders")
      pages.push_back("examples/" + entry.path().filename().string() + "/README.md");
  std::sort(pages.begin(), pages.end());
  return pages;
}

std::string file_of_tree(const std::string& path) {
  return file_text(std::filesystem::path(FOVEA_SOURCE_DIR) / path);
}

// Files of the tests below.
std::string file_of_test(const std::string& path) {
  if (path == "core/a.cpp")
    return "int a() {\n  return 1;\n}\n\nclass B {\n  // two\n  int b(int x,\n        int y);\n\n  int "
           "c;\n};\n";
  if (path == "docs/a.md") return "# What is it, `a`?\n```\n# no heading\n```\n";
  throw std::runtime_error("there is no file " + path);
}

std::string updated_test(const std::string& text) {
  Lines faults;
  const std::string result = updated("docs/page.md", text, file_of_test, faults);
  return faults.empty() ? result : faults[0];
}

}  // namespace

TEST_CASE("pages quote the sources as they are, and name the lines that they mean") {
  for (const std::string& page : all_pages()) {
    Lines faults;
    const std::string text = file_of_tree(page), now = updated(page, text, file_of_tree, faults);
    for (const std::string& fault : faults) FAIL_CHECK(fault);
    if (!faults.empty() || now == text) continue;
    if (std::getenv("FOVEA_UPDATE_PAGES")) {
      std::ofstream(std::filesystem::path(FOVEA_SOURCE_DIR) / page, std::ios::binary) << now;
      continue;
    }
    const Lines is = lines_of(text), should = lines_of(now);
    const size_t at =
        size_t(std::mismatch(is.begin(), is.end(), should.begin(), should.end()).first - is.begin());
    FAIL_CHECK(
        page << ":" << at + 1
             << " is not what the sources have: run FOVEA_UPDATE_PAGES=1 build/tests/test_layout \"pages*\"");
  }
}

TEST_CASE("pages link to files and headings that are there") {
  for (const std::string& page : all_pages())
    for (const std::string& fault : dead_links(page, file_of_tree(page), file_of_tree)) FAIL_CHECK(fault);
}

TEST_CASE("an excerpt of a page is brought up to date") {
  const auto excerpted = [](const std::string& parts, const std::string& indent = "") {
    const std::string comment = indent + "<!-- excerpt: core/a.cpp " + parts + " -->\n" + indent + "```cpp\n";
    const std::string result = updated_test(comment + "stale\n" + indent + "```\nend\n");
    if (result.rfind(comment, 0) != 0) return result;
    return result.substr(comment.size(), result.find(indent + "```\nend\n") - comment.size());
  };
  CHECK(excerpted("\"int a()\"") == "int a() {\n  return 1;\n}\n");
  CHECK(excerpted("\"// two\"") == "// two\nint b(int x,\n      int y);\n");
  CHECK(excerpted("\"int a()\" .. \"return\", \"int c\"") == "int a() {\n  return 1;\n  // ...\n  int c;\n");
  CHECK(excerpted("\"class B\" .. \"int y\"", "   ") ==
        "   class B {\n     // two\n     int b(int x,\n           int y);\n");
  CHECK(excerpted("\"int\"") ==
        "docs/page.md:1: core/a.cpp has 4 lines with \"int\": name a text that is on one line");
  CHECK(excerpted("\"int d\"") ==
        "docs/page.md:1: core/a.cpp has 0 lines with \"int d\": name a text that is on one line");
  CHECK(excerpted("\"int a()\" .. \"int d\"") ==
        "docs/page.md:1: core/a.cpp has no line with the second text of \"int a()\" .. \"int d\"");
  CHECK(excerpted("int a()") == "docs/page.md:1: the comment of an excerpt cannot be read: int a()");
  CHECK(updated_test("<!-- excerpt: core/a.cpp \"int a()\" -->\n\ntext\n") ==
        "docs/page.md:1: an excerpt's comment stands above a block of code that is indented as it is");
  CHECK(updated_test("<!-- excerpt: core/b.cpp \"int a()\" -->\n```\n```\n") ==
        "docs/page.md:1: there is no file core/b.cpp");
}

TEST_CASE("the number of a line that a page names is brought up to date") {
  CHECK(updated_test("| [a.cpp:7](../core/a.cpp#L9 \"class B\") | [`c`:1](../core/a.cpp#L1 \"int c\") |\n") ==
        "| [a.cpp:5](../core/a.cpp#L5 \"class B\") | [`c`:10](../core/a.cpp#L10 \"int c\") |\n");
  CHECK(updated_test("```\n[a:7](../core/a.cpp#L9 \"class B\")\n```\n") ==
        "```\n[a:7](../core/a.cpp#L9 \"class B\")\n```\n");
  CHECK(updated_test("[a:7](../core/a.cpp#L9)\n") ==
        "docs/page.md:1: a link to a line has the form [file:12](path/file#L12 \"text of the line\")");
  CHECK(updated_test("[a:7](../core/a.cpp#L9 \"no\")\n") ==
        "docs/page.md:1: core/a.cpp has 0 lines with \"no\": name a text that is on one line");
}

TEST_CASE("a dead link of a page is found") {
  const auto links = [](const std::string& text) { return dead_links("docs/page.md", text, file_of_test); };
  CHECK(links("# Here\n[x](a.md), [x](a.md#what-is-it-a), [x](#here), [x](https://a.b/c), "
              "`[x](y)`\n```\n[x](y)\n```\n")
            .empty());
  CHECK(links("[x](b.md)") == Lines{"docs/page.md:1 links to b.md, which is not there"});
  CHECK(links("\n[`x`](a.md#no-heading)") ==
        Lines{"docs/page.md:2 links to a.md#no-heading, a heading that is not there"});
}
