#include "nn/io/json_depth.h"

#include <catch2/catch.hpp>

#include "core/error.h"

using namespace fovea;
using Catch::Contains;

namespace {

std::string nested(size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

}  // namespace

TEST_CASE("JSON may be a hundred deep, and brackets in texts do not count") {
  CHECK_NOTHROW(check_json_depth(nested(100), "a.json"));
  CHECK_THROWS_WITH(check_json_depth(nested(101), "a.json"),
                    Contains("a.json has lists or objects more than 100 deep in one another"));
  CHECK_THROWS_WITH(check_json_depth(std::string(1000000, '{'), "a.json"), Contains("more than 100 deep"));
  CHECK_NOTHROW(check_json_depth("[\"" + std::string(200, '[') + "\", \"\\\"" + std::string(200, '{') + "\"]",
                                 "a.json"));
  CHECK_THROWS_WITH(check_json_depth("[\"\\\\\", " + nested(100) + "]", "a.json"),
                    Contains("more than 100 deep"));
  std::string flat;
  for (int i = 0; i < 200; ++i) flat += "{},[1],";
  CHECK_NOTHROW(check_json_depth("[" + flat + "0]", "a.json"));
}
