#include <catch2/catch.hpp>

#include "core/file.h"
#include "tests/support/program.h"
#include "train/data/image/image_io.h"

using namespace fovea;
using Catch::Contains;

TEST_CASE("fovea info prints a model's sizes, and the memory of a training step") {
  const ProgramResult layers = run_program({"info", "efficientdet_d0", "--summary"});
  REQUIRE(layers.exit_code == 0);
  CHECK_THAT(layers.output, Contains("efficientdet_d0, 512x512 px") && Contains("3877763") &&
                                Contains("49104  (scale 4, 9 a cell"));

  const auto peak = [](std::vector<std::string> more) {
    std::vector<std::string> arguments{"info", "efficientdet_d7", "--batch", "16"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ProgramResult result = run_program(arguments);
    REQUIRE(result.exit_code == 0);
    CHECK_THAT(result.output, Contains("largest batch"));
    const size_t at = result.output.find("\npeak ");
    REQUIRE(at != std::string::npos);
    return std::stod(result.output.substr(at + 6));
  };
  const double plain = peak({"--memory", "80GB"});
  CHECK(plain > 270'000);  // MB
  CHECK(peak({"--recompute"}) < 0.5 * plain);
  const double accumulated = peak({"--accumulate", "3"});  // gradients exist, and three batches
  CHECK(accumulated > plain);
  CHECK(accumulated < 1.2 * plain);
  CHECK(peak({"--device", "cuda"}) < 0.6 * plain);  // bfloat16
  CHECK_THAT(run_program({"info", "efficientdet_d0", "--batch", "2", "--memory", "8GiB"}).output,
             Contains("a training step of 2 images on cpu, float32, adamw") && Contains("in 8.6 GB\n"));
}

TEST_CASE("fovea info lists the models and says which library decodes JPEGs") {
  const ProgramResult result = run_program({"info"});
  CHECK(result.exit_code == 0);
  CHECK_THAT(result.output, Contains("efficientnet_b7") &&
                                Contains(std::string("JPEGs are decoded by ") + jpeg_decoder() + "\n"));
}

TEST_CASE("fovea info draws a network") {
  const TemporaryFolder folder;
  const std::string file = folder / "d0.svg";
  const ProgramResult drawn = run_program({"info", "efficientdet_d0", "--graph", file});
  REQUIRE(drawn.exit_code == 0);
  CHECK_THAT(drawn.output, Contains("wrote a drawing of efficientdet_d0 to " + file));
  CHECK_THAT(read_file(file), Contains("<svg xmlns") && Contains("fpn.cell.2.fnode.7"));
}

TEST_CASE("fovea info refuses what it cannot print") {
  const auto refused = [](std::vector<std::string> more, const std::string& sentence) {
    more.insert(more.begin(), "info");
    const ProgramResult result = run_program(more);
    CHECK(result.exit_code != 0);
    CHECK_THAT(result.errors, Contains(sentence));
  };
  refused({"resnet50"}, "there is no model resnet50");
  refused({"efficientnet_b0", "--fpn", "bifpn"}, "efficientnet_b0 is not a detector: leave out --fpn");
  refused({"efficientdet_d0", "--recompute"}, "also give --batch");
  refused({"efficientdet_d0", "--batch", "2", "--precision", "bfloat16"}, "--precision is 'bfloat16' with");
  refused({"none.safetensors"}, "none.safetensors");
  refused({"efficientdet_d0", "--graph", "/no/such/folder/a.svg"}, "/no/such/folder/a.svg");
}
