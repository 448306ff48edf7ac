#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "tests/support/program.h"

using namespace fovea;

namespace {

using Counts = std::vector<std::string>;

std::string count(const std::string& what, int64_t bytes) { return what + ": " + std::to_string(bytes); }

// The bytes that op_bench counts for each direction of the op with this name.
Counts counted_bytes(const std::string& op) {
  const std::string program = std::filesystem::path(FOVEA_PROGRAM).parent_path() / "bench/op_bench";
  const ProgramResult result =
      Program({"cpu", "float32", "1", "2", op, "--json"}, 0, 0, program.c_str()).wait();
  INFO(result.errors);
  REQUIRE(result.exit_code == 0);
  Counts counts;
  std::istringstream lines(result.output);
  for (std::string line; std::getline(lines, line);) {
    const auto row = nlohmann::json::parse(line);
    if (!row.contains("what")) continue;  // the copy
    if (row["op"] != op) continue;        // one whose name contains this one's
    CHECK(row["seconds"] > 0);
    counts.push_back(count(row["what"], row["bytes"]));
  }
  return counts;
}

}  // namespace

TEST_CASE("op_bench counts what each direction of a convolution reads and writes") {
  // x + w + y; dy + w + dx; x + dy + dw
  const auto all_three = [](int64_t x, int64_t w, int64_t y) {
    return Counts{count("forward", x + w + y), count("input gradient", y + w + x),
                  count("weight gradient", x + y + w)};
  };
  const int64_t x = 2 * 4 * 4 * 64 * 4, w = 3 * 3 * 64 * 4;
  CHECK(counted_bytes("depthwise_conv2d 2x4x4x64 k3 s1") == all_three(x, w, x));
  const int64_t x2 = 2 * 14 * 14 * 672 * 4, w2 = 5 * 5 * 672 * 4;
  CHECK(counted_bytes("depthwise_conv2d 2x14x14x672 k5 s2") == all_three(x2, w2, x2 / 4));
  const int64_t pyramid = 2 * 5456 * 64 * 4;
  CHECK(counted_bytes("depthwise_conv2d 2x5456x64 k3, a pyramid") == all_three(pyramid, w, pyramid));
  const int64_t image = 2 * 224 * 224 * 3 * 4, filter = 3 * 3 * 3 * 32 * 4, out = 2 * 112 * 112 * 32 * 4;
  CHECK(counted_bytes("conv2d 2x224x224x3 3x3 /2 -> 32") ==
        Counts{count("forward", image + filter + out), count("weight gradient", image + out + filter)});
}

TEST_CASE("op_bench counts inputs, output and all gradients of other ops") {
  const int64_t x = 2 * 112 * 112 * 32 * 4, layers = (32 * 8 + 8 + 8 * 32 + 32) * 4;
  CHECK(counted_bytes("squeeze_excite 2x112x112x32 -> 8") ==
        Counts{count("forward", x + layers + x),  // x and the layers are read, y is written
               count("backward",
                     x + layers + x + x + layers)});  // they and dy are read, their gradients written
}
