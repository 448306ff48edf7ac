// Trainings in several processes, with mpirun and the program itself.
#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <thread>

#include "core/error.h"
#include "core/file.h"
#include "nn/io/safetensors.h"
#include "tests/support/program.h"
#include "tests/support/shapes.h"

using namespace fovea;
using Catch::Contains;
namespace fs = std::filesystem;

#ifdef FOVEA_MPIRUN
namespace {

std::vector<std::string> training(const std::string& run, std::vector<std::string> more = {}) {
  // Plain SGD: AdamW would turn the rounding of a gradient that is 0 into a step.
  more.insert(more.begin(),
              {"--steps", "6", "--validate-every", "2", "--optimizer", "sgd", "--learning-rate", "0.01"});
  return tiny_training(shapes(), run, more);
}

// The program in two processes.
class Pair : public Program {
 public:
  explicit Pair(const std::vector<std::string>& arguments) : Program(in_two(arguments), 0, 0, FOVEA_MPIRUN) {}

  // mpirun's children are the processes, in the order of their ranks.
  void kill_second() const {
    std::ifstream children(fmt::format("/proc/{0}/task/{0}/children", id()));
    pid_t first = 0, second = 0;
    children >> first >> second;
    REQUIRE(second > 0);
    ::kill(second, SIGKILL);
  }

 private:
  static std::vector<std::string> in_two(const std::vector<std::string>& arguments) {
    // A build with the address sanitizer does not check for leaks here: Open MPI has leaks itself.
    std::vector<std::string> result{
        "-np",        "2", "--oversubscribe", "--allow-run-as-root", "-x", "LSAN_OPTIONS=detect_leaks=0",
        FOVEA_PROGRAM};
    result.insert(result.end(), arguments.begin(), arguments.end());
    return result;
  }
};

// The largest relative difference of the norm of any weight, and the tensor's name.
std::pair<double, std::string> difference(const std::string& a, const std::string& b) {
  const SafetensorsFile first(a), second(b);
  std::pair<double, std::string> worst{0, ""};
  for (const auto& entry : second.entries()) {
    if (!entry.name.starts_with("model.")) continue;
    const auto x = first.read(*first.find(entry.name)).values(), y = second.read(entry).values();
    double off = 0, norm = 0;
    for (size_t i = 0; i < x.size(); ++i) off += (x[i] - y[i]) * (x[i] - y[i]), norm += y[i] * y[i];
    worst = std::max(worst, {std::sqrt(off / std::max(norm, 1e-6)), entry.name});
  }
  return worst;
}

void compare_with_one_process(const std::vector<std::string>& more, double tolerance) {
  const TemporaryFolder folder;
  REQUIRE(run_program(training(folder / "one", more)).exit_code == 0);
  const auto shared = Pair(training(folder / "two", more)).wait();
  CAPTURE(shared.errors);
  REQUIRE(shared.exit_code == 0);
  CHECK_THAT(shared.errors, Contains("; 2 processes, "));
  // Printed once.
  CHECK(shared.output.find("AP") != std::string::npos);
  CHECK(shared.output.find("report:") == shared.output.rfind("report:"));
  const auto [worst, name] = difference(folder / "two/last.safetensors", folder / "one/last.safetensors");
  CAPTURE(worst, name);
  CHECK(worst < tolerance);
  CHECK(worst > 0);
  const auto again = Pair(training(folder / "again", more)).wait();
  REQUIRE(again.exit_code == 0);
  CHECK(read_file(folder / "again/last.safetensors") == read_file(folder / "two/last.safetensors"));
}

}  // namespace

TEST_CASE("two processes learn what one learns from the same batches, with the same bits each time") {
  compare_with_one_process({}, 2e-3);
}

TEST_CASE("two processes also learn what one learns on CUDA") {
  compare_with_one_process(
      {"--device", "cuda", "--precision", "float32", "--steps", "3", "--validate-every", "0"}, 2e-3);
}

TEST_CASE("what several processes cannot do is refused once, in one sentence") {
  const TemporaryFolder folder;
  const auto odd = Pair(training(folder / "run", {"--batch-size", "5"})).wait();
  CHECK(odd.exit_code == 1);
  const std::string sentence = "fovea: --batch-size is 5: 2 processes share it, give a multiple of 2";
  CHECK_THAT(odd.errors, Contains(sentence));
  CHECK(odd.errors.find(sentence) == odd.errors.rfind(sentence));
  CHECK_FALSE(fs::exists(folder / "run/config.json"));
}

TEST_CASE(
    "a process that is lost ends the others, which print how to continue, and the run continues to the same "
    "bits") {
  const TemporaryFolder folder;
  const std::vector<std::string> long_run{"--steps",          "60", "--checkpoint-every", "1",
                                          "--validate-every", "0"};
  REQUIRE(Pair(training(folder / "whole", long_run)).wait().exit_code == 0);
  Pair running(training(folder / "cut", long_run));
  while (!fs::exists(folder / "cut/last.safetensors"))
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  running.kill_second();
  const auto result = running.wait();
  CAPTURE(result.errors);
  CHECK(result.exit_code != 0);
  CHECK_THAT(result.errors,
             Contains("fovea: process 0 ends because another process ended or the training was stopped: "
                      "`fovea train --resume") &&
                 Contains("signal 9"));
  const auto resumed = Pair({"train", "--resume", folder / "cut"}).wait();
  CAPTURE(resumed.errors);
  REQUIRE(resumed.exit_code == 0);
  CHECK(read_file(folder / "cut/last.safetensors") == read_file(folder / "whole/last.safetensors"));
}
#endif
