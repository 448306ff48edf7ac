#include "train/data/files/text_file.h"

#include <catch2/catch.hpp>

#include "core/file.h"
#include "tests/support/test_data.h"

using namespace fovea;
using namespace std::string_literals;

TEST_CASE("a text file is read without its byte-order mark, UTF-16 as UTF-8") {
  const TemporaryFolder folder;
  const auto text_of = [&](const std::string& bytes) {
    write_file_atomically(folder / "text", bytes);
    return read_text(folder / "text");
  };
  CHECK(text_of("\xEF\xBB\xBFred\n") == "red\n");
  CHECK(text_of("\xFF\xFEr\0\xE9\0\x2D\x4E\x3D\xD8\x42\xDE\x3D\xD8"s) ==
        "r\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x99\x82\xEF\xBF\xBD");
  CHECK(text_of("\xFE\xFF\0r\0\n"s) == "r\n");
  CHECK(text_of("").empty());
  write_file_atomically(folder / "text", "\xEF\xBB\xBF  a b \r\n\n\tc");
  CHECK(read_lines(folder / "text") == std::vector<std::string>{"a b", "", "c"});
  CHECK_FALSE(utf8_fault("names", "caf\xC3\xA9\n").has_value());
  CHECK(utf8_fault("names", "a\ncaf\xE9\n").value() ==
        "names:2 is not UTF-8: bytes that are not characters are written as \\x and two digits");
}
