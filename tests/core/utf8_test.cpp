#include "core/utf8.h"

#include <catch2/catch.hpp>

using namespace fovea;

TEST_CASE("UTF-8 is distinguished from other bytes, as in RFC 3629") {
  for (const char* text :
       {"", "plain", "\xC3\xA9", "\xE4\xB8\xAD", "\xF0\x9F\x99\x82", "\xEF\xBF\xBF", "\xF4\x8F\xBF\xBF"})
    CHECK(is_utf8(text));
  for (const char* text :
       {"\xE9", "a\xC3", "\xC0\xAF", "\xE0\x80\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xFF", "\xC3("})
    CHECK_FALSE(is_utf8(text));
}

TEST_CASE("bytes that are not UTF-8 are escaped and restored") {
  CHECK(escape_bytes("caf\xE9 \xC3\xA9") == "caf\\xE9 \xC3\xA9");
  for (const char* text : {"plain", "caf\xE9", "\xD6\xD0\xCE\xC4", "\xC3\xA9\xFF", "C:\\x41"})
    CHECK(unescape_bytes(escape_bytes(text)) == text);
}
