#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "tests/support/program.h"

using namespace fovea;
using Catch::Contains;

TEST_CASE("fovea bench prints times, a table by op, and JSON") {
  const std::vector<std::string> model{
      "bench", "efficientdet_d-3", "--image-size", "64", "--batch-size", "1", "--repeats", "2"};
  const auto run = [&](std::vector<std::string> more) {
    more.insert(more.begin(), model.begin(), model.end());
    return Program(more).wait();
  };
  const ProgramResult table = run({"--profile"});
  REQUIRE(table.exit_code == 0);
  CHECK_THAT(table.output, Contains("efficientdet_d-3, 1 x 64 px, 90 classes") && Contains("training step") &&
                               Contains("forward") && Contains("detection") && Contains("depthwise_conv2d") &&
                               Contains("SGD update"));
  const ProgramResult json = run({"--only", "forward", "--json"});
  REQUIRE(json.exit_code == 0);
  const auto read = nlohmann::json::parse(json.output);
  CHECK(read["seconds"].size() == 2);
  CHECK(read["parameters"].get<int64_t>() > 100000);
  CHECK(read["tensors_peak_mb"].get<double>() > 1);

  const ProgramResult refused = run({"--json"});
  CHECK(refused.exit_code == 1);
  CHECK_THAT(refused.errors, Contains("--json needs --only"));
}
