#include "nn/io/json.h"

#include <catch2/catch.hpp>

#include "core/error.h"

using namespace fovea;
using Catch::Contains;

namespace {

nlohmann::json parse(const std::string& text) { return parse_json(text, "a.json", "a list"); }

std::string nested(size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

}  // namespace

TEST_CASE("JSON may be a hundred deep, and brackets in texts do not count") {
  CHECK_NOTHROW(parse(nested(100)));
  CHECK_THROWS_WITH(parse(nested(101)), Contains("a.json has lists or objects nested more than 100 deep"));
  CHECK_THROWS_WITH(parse(std::string(1000000, '{')), Contains("more than 100 deep"));
  CHECK_NOTHROW(parse("[\"" + std::string(200, '[') + "\", \"\\\"" + std::string(200, '{') + "\"]"));
  CHECK_THROWS_WITH(parse("[\"\\\\\", " + nested(100) + "]"), Contains("more than 100 deep"));
  std::string flat;
  for (int i = 0; i < 200; ++i) flat += "{},[1],";
  CHECK_NOTHROW(parse("[" + flat + "0]"));
}

TEST_CASE("text that is not JSON is refused with its source, what it should be, and the place") {
  CHECK(parse("[1, {\"b\": 2.5}]")[1]["b"] == 2.5);
  CHECK_THROWS_AS(parse("[1,\n]"), Error);
  CHECK_THROWS_WITH(parse("[1,\n]"), Contains("a.json is not a list: parse error at line 2, column 1: "));
  CHECK_THROWS_WITH(parse(""), Contains("a.json is not a list: parse error at line 1, column 1: "));
  CHECK_THROWS_WITH(parse("[NaN]"), Contains("(NaN and Infinity are not JSON either)"));
  CHECK_THROWS_WITH(parse("[1e999]"), Contains("a.json is not a list: number overflow parsing '1e999'"));
  try {
    parse("[\"" + std::string(100000, 'a'));
    FAIL("an unfinished text was taken for JSON");
  } catch (const Error& error) {
    CHECK(std::string_view(error.what()).size() < 400);
  }
}

TEST_CASE("a visitor receives each value of a JSON text, and may leave it out") {
  int entries = 0;
  const auto visit = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    entries += depth == 1;
    return depth != 1;
  };
  CHECK(parse_json("[1, 2, 3]", "a.json", "a list", visit).empty());
  CHECK(entries == 3);
  CHECK_THROWS_WITH(
      parse_json("[1]", "a.json", "a list",
                 [](int, nlohmann::json::parse_event_t, nlohmann::json&) -> bool { fail("seen"); }),
      "seen");
}
