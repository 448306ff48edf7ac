#include <catch2/catch.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cuda/runtime/kernel_score.h"
#include "tests/support/program.h"
#include "tests/support/quantized_file.h"
#include "tests/support/test_data.h"

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

  CHECK_THAT(run({"--gpu", "h200"}).errors,
             Contains("--gpu and --launches need --profile and --device cuda"));

  const ProgramResult refused = run({"--json"});
  CHECK(refused.exit_code == 1);
  CHECK_THAT(refused.errors, Contains("--json needs --only"));
}

TEST_CASE("fovea bench times a quantised file, and refuses what does not apply to it") {
  const QuantizedFile file;
  file.write();
  const auto run = [&](std::vector<std::string> more) {
    std::vector<std::string> all{"bench", file.path, "--batch-size", "1", "--repeats", "2"};
    all.insert(all.end(), more.begin(), more.end());
    return Program(all).wait();
  };
  const ProgramResult table = run({});
  CAPTURE(table.errors);
  REQUIRE(table.exit_code == 0);
  CHECK_THAT(table.output, Contains("efficientdet_d-3, 1 x 64 px, 2 classes") && Contains(", int8:") &&
                               Contains("forward") && Contains("detection") && !Contains("training step"));
  const ProgramResult json = run({"--only", "forward", "--json"});
  REQUIRE(json.exit_code == 0);
  CHECK(nlohmann::json::parse(json.output)["seconds"].size() == 2);
  const auto refuse = [&](std::vector<std::string> more, const std::string& message) {
    const ProgramResult refused = run(std::move(more));
    CHECK(refused.exit_code == 1);
    CHECK_THAT(refused.errors, Contains(message));
  };
  refuse({"--only", "training"}, "a quantised network has no training step");
  refuse({"--profile"}, "leave out --profile");
  refuse({"--device", "cuda"}, "which is for predictions on the CPU");
  refuse({"--recompute"}, "leave out --device and --recompute");
  refuse({"--classes", "4"}, "has its own image size, classes and fusion");
  refuse({"--image-size", "128"}, "leave out --image-size, --classes and --fusion");
}

TEST_CASE("fovea bench --score counts what each kernel asks of the memory, the same each time") {
  const auto run = [](const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"bench", "efficientdet_d-3", "--image-size", "64", "--batch-size",
                                       "1",     "--score"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Program(arguments).wait();
  };
  const ProgramResult step = run({"--device", "cuda"});
  REQUIRE(step.exit_code == (cuda::ScoreKernels::possible() ? 0 : 1));
  if (!cuda::ScoreKernels::possible()) return;
  CHECK_THAT(step.output, Contains("one step, by kernel") && Contains("conflicts") &&
                              Contains("\ndepthwise_tiled<3, 1, 2, Plain, bfloat16> ") &&
                              Contains("\nweight_gradient_tiled<3, 1, 4, bfloat16> "));
  CHECK(run({"--device", "cuda"}).output == step.output);
  const ProgramResult forward = run({"--device", "cuda", "--only", "forward"});
  CHECK_THAT(forward.output, Contains("one forward pass, by kernel") && Contains("depthwise_tiled") &&
                                 !Contains("weight_gradient"));
  const size_t all = forward.output.find("\nall ");
  REQUIRE(all != std::string::npos);
  std::istringstream words(forward.output.substr(all + 5));
  double launches = 0, read = 0, times = 0, sectors = 0;
  words >> launches >> read >> times >> sectors;
  CHECK(launches > 50);
  CHECK(times >= 1);
  CHECK(sectors > 1);
  CHECK(sectors <= 32);

  const ProgramResult on_cpu = run({});
  CHECK(on_cpu.exit_code == 1);
  CHECK_THAT(on_cpu.errors, Contains("kernels are scored on a simulated device: choose --device cuda"));
  CHECK_THAT(run({"--device", "cuda", "--only", "detection"}).errors,
             Contains("--score is of a training step"));
}

TEST_CASE("fovea bench --profile predicts each launch of a step on a GPU that is not in the machine") {
  const TemporaryFolder folder;
  const std::string file = folder / "launches.csv";
  const auto run = [&](const std::string& gpu) {
    return Program({"bench", "efficientdet_d-3", "--image-size", "64", "--batch-size", "2", "--device",
                    "cuda", "--profile", "--gpu", gpu, "--launches", file})
        .wait();
  };
  const auto total = [](const ProgramResult& result) {  // of the step's last row: predicted milliseconds
    const std::string row = result.output.substr(result.output.find("\nall ") + 1);
    std::istringstream words(row);
    std::string name;
    double launches = 0, megabytes = 0, bound = 0, predicted = 0;
    words >> name >> launches >> megabytes >> bound >> predicted;
    return predicted;
  };
  const ProgramResult h200 = run("h200");
  REQUIRE(h200.exit_code == 0);
  CHECK_THAT(h200.output, Contains("depthwise_tiled<3, 1, 2, Plain, bfloat16>") && Contains("limited by") &&
                              Contains("latency"));
  CHECK_THAT(h200.output, !Contains("64 registers were assumed"));  // every kernel of a step is in the table
  const size_t detection = h200.output.find("\none detection, by kernel");
  REQUIRE(detection != std::string::npos);
  CHECK(detection > h200.output.find("\none step, by kernel"));
  CHECK(h200.output.find("\nsuppress_in_order ") > detection);  // to the boxes after suppression

  std::ifstream rows(file);
  std::string line;
  std::getline(rows, line);
  CHECK(
      line.starts_with("kernel,blocks,threads,shared_bytes,steps,bytes,measured_us,gpu,predicted_us,limit,"));
  int count = 0;
  while (std::getline(rows, line)) ++count;
  CHECK(count > 300);
  CHECK(total(h200) > count * 0.9e-3);  // milliseconds: no launch is free
  CHECK(total(h200) < 20);

  const ProgramResult only = Program({"bench", "efficientdet_d-3", "--image-size", "64", "--batch-size", "2",
                                      "--device", "cuda", "--profile", "--only", "detection"})
                                 .wait();
  REQUIRE(only.exit_code == 0);
  CHECK_THAT(only.output, Contains("one detection, by kernel") && !Contains("one step, by kernel"));

  const ProgramResult t4 = run("t4");
  REQUIRE(t4.exit_code == 0);
  CHECK(total(t4) > total(h200));
  const ProgramResult unknown = run("gtx");
  CHECK(unknown.exit_code == 1);
  CHECK_THAT(
      unknown.errors,
      Contains("the GPU gtx is not in the table of GPUs: choose one of H200, H100, A100, L4, RTX4090, T4"));
}
