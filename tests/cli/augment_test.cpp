// predict and eval with --augment, and with weights that are split over several files.
#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/file.h"
#include "models/efficientdet.h"
#include "models/efficientnet.h"
#include "models/weights.h"
#include "nn/io/safetensors.h"
#include "tests/support/program.h"
#include "tests/support/shapes.h"

using namespace fovea;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {

ProgramResult run(std::vector<std::string> arguments, const std::vector<std::string>& more = {}) {
  arguments.insert(arguments.end(), more.begin(), more.end());
  ProgramResult result = run_program(arguments);
  CAPTURE(result.errors);
  CHECK(result.exit_code == 0);
  return result;
}

const std::vector<std::string> augment{"--augment"};

}  // namespace

TEST_CASE("with --augment a network gets the flips of its training") {
  const TemporaryFolder folder;
  const auto trained = [&](const std::string& name, const std::vector<std::string>& more) {
    run(tiny_training(shapes(), folder / name, {"--epochs", "1"}), more);
    return folder / name + "/best.safetensors";
  };
  const std::string usual = trained("usual", {}),
                    never_flipped = trained("never_flipped", {"--horizontal-flip", "false"});
  const auto results_of = [&](const std::vector<std::string>& arguments,
                              const std::vector<std::string>& more) {
    run(arguments, more);
    return read_file(folder / "out/detections.json");
  };
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"eval", usual, "--output", folder / "out"},
        {"predict", usual, shapes() + "/val", "--output", folder / "out"}}) {
    const std::string plain = results_of(arguments, {});
    CHECK(results_of(arguments, {}) == plain);
    CHECK(results_of(arguments, augment) != plain);
  }
  const auto refused = run_program({"eval", never_flipped, "--augment"});
  CHECK(refused.exit_code == 1);
  CHECK_THAT(refused.errors,
             Contains("neither --horizontal-flip nor --vertical-flip") && Contains("leave out --augment"));
  const auto files = run_program({"eval", "--truth", "t.json", "--detections", "d.json", "--augment"});
  CHECK(files.exit_code == 1);
  CHECK_THAT(files.errors, Contains("--augment needs a network"));
}

TEST_CASE("with --augment a classifier gives the mean of its probabilities") {
  const TemporaryFolder folder;
  Random random(1);
  save_weights(folder / "efficientnet_b-3.safetensors",
               EfficientNet(efficientnet_spec("efficientnet_b-3"), 2, random));
  const auto classes = [&](const std::vector<std::string>& more) {
    run({"predict", folder / "efficientnet_b-3.safetensors", shapes() + "/val", "--output", folder / "out"},
        more);
    return nlohmann::json::parse(read_file(folder / "out/classes.json"));
  };
  const auto plain = classes({}), mean = classes(augment);
  REQUIRE(plain.size() == mean.size());
  CHECK(plain != mean);
  for (const auto& image : mean)
    CHECK(image["classes"][0]["probability"].get<double>() +
              image["classes"][1]["probability"].get<double>() ==
          Approx(1));
}

TEST_CASE("weights that are split over several files are loaded by their index, and not overwritten") {
  const TemporaryFolder folder;
  Random random(1);
  const EfficientDet model(efficientdet_spec("efficientdet_d-3"), 3, random);
  const std::string whole = folder / "efficientdet_d-3.safetensors",
                    index = folder / "model.safetensors.index.json";
  save_weights(whole, model);
  std::vector<NamedTensor> parts[2];
  nlohmann::json map;
  for (const NamedTensor& weight : published_weights(model)) {
    const int part = weight.name.starts_with("backbone.");
    parts[part].push_back(weight);
    map[weight.name] = part ? "b.safetensors" : "a.safetensors";
  }
  write_safetensors(folder / "a.safetensors", {}, parts[0]);
  write_safetensors(folder / "b.safetensors", {}, parts[1]);
  write_file_atomically(index, nlohmann::json{{"metadata", {{"total_size", 1}}}, {"weight_map", map}}.dump());

  const std::vector<std::string> named{"--model", "efficientdet_d-3"};
  const auto found = [&](const std::string& weights) {
    run({"predict", weights, shapes() + "/val", "--output", folder / "out"}, named);
    return read_file(folder / "out/detections.json");
  };
  CHECK(found(index) == found(whole));

  const auto trained = [&](const std::string& weights, const std::string& name) {
    run(tiny_training(shapes(), folder / name, {"--steps", "2", "--init-from", weights}));
    return read_file(folder / name + "/detections.json");
  };
  CHECK(trained(index, "split") == trained(whole, "whole"));

  const std::string shard = read_file(folder / "b.safetensors");
  const auto over =
      run_program({"export", index, "--model", "efficientdet_d-3", "--output", folder / "b.safetensors"});
  CHECK(over.exit_code == 1);
  CHECK_THAT(over.errors, Contains("b.safetensors is an input of this program"));
  CHECK(read_file(folder / "b.safetensors") == shard);

  fs::remove(folder / "b.safetensors");
  const auto missing = run_program({"predict", index, shapes() + "/val", "--model", "efficientdet_d-3"});
  CHECK(missing.exit_code == 1);
  CHECK_THAT(missing.errors, Contains("b.safetensors is missing, but ") && Contains("puts tensor backbone."));
}
