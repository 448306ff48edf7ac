// Runs that are stopped, moved and started twice.
#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <thread>

#include "core/error.h"
#include "core/file.h"
#include "tests/support/program.h"
#include "tests/support/shapes.h"
#include "train/data/image/image_io.h"

using namespace fovea;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {

std::vector<std::string> arguments(const std::string& data, const std::string& run,
                                   const std::string& epochs) {
  return tiny_training(data, run, {"--epochs", epochs, "--validate-every", "0"});
}

void wait_for(const std::string& file) {
  while (!fs::exists(file)) std::this_thread::sleep_for(std::chrono::milliseconds(2));
}

}  // namespace

TEST_CASE("a run whose data moved continues to the same bits, and only on the same data") {
  const TemporaryFolder folder;
  fs::copy(shapes(), folder / "data", fs::copy_options::recursive);
  REQUIRE(run_program(arguments(folder / "data", folder / "whole", "12")).exit_code == 0);
  Program program(arguments(folder / "data", folder / "run", "12"));
  wait_for(folder / "run/last.safetensors");
  program.signal(SIGHUP);  // like a terminal that is closed
  const auto stopped = program.wait();
  CAPTURE(stopped.errors);
  REQUIRE(stopped.exit_code == 1);
  CHECK_THAT(stopped.errors, Contains("stopped at step"));

  fs::rename(folder / "data", folder / "elsewhere");
  const auto resume = [&](const std::string& data) {
    return run_program({"train", "--resume", folder / "run", "--data", data});
  };
  const auto refuses = [&](const std::string& data, const std::string& what) {
    const auto result = resume(data);
    CAPTURE(result.errors);
    CHECK(result.exit_code == 1);
    CHECK_THAT(result.errors,
               Contains("was started on other data") && Contains("has changed since (" + what + ")"));
  };
  fs::copy(folder / "elsewhere", folder / "other", fs::copy_options::recursive);
  const std::string file = folder / "other/annotations/instances_train.json", labels = read_file(file);
  std::string shifted = labels;
  shifted.insert(shifted.find("\"bbox\":[") + 8, "1");  // the first box begins elsewhere
  write_file_atomically(file, shifted);
  refuses(folder / "other", "its labels");
  write_file_atomically(file, labels);
  for (const auto& entry : fs::directory_iterator(folder / "other/train")) {
    write_image(entry.path().string(), Image(96, 80));
    break;
  }
  refuses(folder / "other", "its images");

  const auto resumed = resume(folder / "elsewhere");
  CAPTURE(resumed.errors);
  CHECK(resumed.exit_code == 0);
  const auto weights = [&](const std::string& run) {  // after the header, which names the data's folder
    const std::string content = read_file(folder / run + "/last.safetensors");
    uint64_t length = 0;
    std::memcpy(&length, content.data(), 8);
    return content.substr(8 + length);
  };
  CHECK(weights("run") == weights("whole"));
  CHECK_THAT(read_file(folder / "run/config.json"), Contains(folder / "elsewhere"));
  const auto more = run_program({"train", "--resume", folder / "run", "--seed", "2"});
  CHECK_THAT(more.errors, Contains("leave out --seed"));
}

TEST_CASE("boxes that change in place between stop and resume are also noticed") {
  const TemporaryFolder folder;
  fs::copy(shapes(), folder / "data", fs::copy_options::recursive);
  REQUIRE(run_program(arguments(folder / "data", folder / "run", "1")).exit_code == 0);
  const std::string file = folder / "data/annotations/instances_val.json";
  std::string labels = read_file(file);
  labels.insert(labels.find("\"bbox\":[") + 8, "1");
  write_file_atomically(file, labels);
  const auto resumed = run_program({"train", "--resume", folder / "run"});
  CHECK_THAT(resumed.errors, Contains("has changed since (its labels)"));
}

TEST_CASE("a second training in a run's folder is refused, and a killed one leaves no lock") {
  const TemporaryFolder folder;
  Program first(arguments(shapes(), folder / "run", "2000"));
  wait_for(folder / "run/metrics.csv");
  for (const std::vector<std::string>& command :
       {arguments(shapes(), folder / "run", "2000"), {"train", "--resume", folder / "run"}}) {
    const auto second = run_program(command);
    CHECK(second.exit_code == 1);
    CHECK_THAT(second.errors, Contains("is in use by another process, " + std::to_string(first.id())));
  }
  wait_for(folder / "run/last.safetensors");
  first.signal(SIGKILL);
  first.wait();
  Program resumed({"train", "--resume", folder / "run"});
  std::this_thread::sleep_for(std::chrono::seconds(1));
  resumed.signal(SIGTERM);
  CHECK_THAT(resumed.wait().errors, !Contains("in use"));
}

TEST_CASE("a hangup is ignored under nohup, and a dead terminal loses no checkpoint") {
  const TemporaryFolder folder;
  const auto started = [&](const std::string& run, const std::string& before) {
    std::string command = before + " exec '" FOVEA_PROGRAM "'";
    for (const std::string& argument : arguments(shapes(), folder / run, "12"))
      command += " '" + argument + "'";
    return std::vector<std::string>{"-c", command};
  };
  Program program(started("a", "trap '' HUP;"), 0, 0, "/bin/sh");
  wait_for(folder / "a/last.safetensors");
  program.signal(SIGHUP);
  CHECK(program.wait().exit_code == 0);

  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  REQUIRE((terminal >= 0 && ::grantpt(terminal) == 0 && ::unlockpt(terminal) == 0));
  Program deaf(started("b", fmt::format("exec 2>{};", ::ptsname(terminal))), 0, 0, "/bin/sh");
  wait_for(folder / "b/last.safetensors");
  ::close(terminal);  // from here on writing to it fails
  deaf.signal(SIGHUP);
  deaf.wait();
  const auto resumed = run_program({"train", "--resume", folder / "b"});
  CHECK(resumed.exit_code == 0);
  CHECK(read_file(folder / "b/last.safetensors") == read_file(folder / "a/last.safetensors"));
}
