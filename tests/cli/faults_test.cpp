// External faults of a running program: files that change, folders that disappear, a full disk, too little
// memory. docs/reliability.md has the whole table.
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <thread>

#include "core/file.h"
#include "tests/support/program.h"
#include "train/data/synth/synth.h"

using namespace fovea;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {

// A data set that a test may damage, and trainings on it of one or two seconds.
class Trainings {
 public:
  Trainings() {
    synthesize_dataset(folder_ / "shapes",
                       {.train_images = 12, .val_images = 4, .width = 96, .height = 80, .classes = 3});
  }

  std::string operator/(const std::string& name) const { return folder_ / name; }

  std::vector<std::string> arguments(const std::string& run, const std::string& epochs = "12") const {
    return tiny_training(folder_ / "shapes", folder_ / run,
                         {"--epochs", epochs, "--validate-every", "0", "--cache-mb", "0"});
  }

  // Starts a training, disturbs it after its first checkpoint, and waits for its end.
  ProgramResult disturbed(const std::string& run, const std::function<void()>& disturb) const {
    Program program(arguments(run));
    while (!fs::exists(folder_ / run + "/last.safetensors"))
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    disturb();
    return program.wait();
  }

  // Continues the run, and compares its end with that of an undisturbed training.
  void resume_and_compare(const std::string& run) {
    if (whole_.empty()) {
      REQUIRE(run_program(arguments("whole")).exit_code == 0);
      whole_ = read_file(folder_ / "whole/last.safetensors");
    }
    const auto resumed = run_program({"train", "--resume", folder_ / run});
    CAPTURE(resumed.errors);
    CHECK(resumed.exit_code == 0);
    CHECK(read_file(folder_ / run + "/last.safetensors") == whole_);
  }

 private:
  TemporaryFolder folder_;
  std::string whole_;
};

void check_refused(const ProgramResult& result, const std::string& sentence) {
  CAPTURE(result.errors);
  CHECK(result.exit_code == 1);
  CHECK_THAT(result.errors, Contains("fovea: ") && Contains(sentence));
}

bool has_part_files(const std::string& folder) {
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.path().extension() == ".part") return true;
  return false;
}

}  // namespace

TEST_CASE("an image replaced, or a run's folder moved, ends the training, resumed it ends at the same bits") {
  Trainings trainings;
  std::string image_file;
  for (const auto& entry : fs::recursive_directory_iterator(trainings / "shapes/train"))
    if (entry.is_regular_file()) image_file = entry.path().string();
  const std::string good = read_file(image_file);
  check_refused(trainings.disturbed("a", [&] { write_file_atomically(image_file, "no image"); }),
                image_file + " is not a readable image");
  write_file_atomically(image_file, good.substr(0, good.size() / 2));
  check_refused(run_program({"train", "--resume", trainings / "a"}), image_file + " is cut short");
  fs::remove(image_file);
  check_refused(run_program({"train", "--resume", trainings / "a"}), "was started on other data");
  write_file_atomically(image_file, good);
  trainings.resume_and_compare("a");

  check_refused(trainings.disturbed("b", [&] { fs::rename(trainings / "b", trainings / "moved"); }),
                "last.safetensors cannot be written: No such file or directory");
  CHECK_FALSE(has_part_files(trainings / "moved"));
  trainings.resume_and_compare("moved");
}

TEST_CASE("a run whose files were damaged is not resumed, and the message names the file") {
  Trainings trainings;
  REQUIRE(run_program(trainings.arguments("run", "1")).exit_code == 0);
  const std::string last = trainings / "run/last.safetensors", whole = read_file(last);
  const auto refuses = [&](const std::string& content, const std::string& sentence) {
    write_file_atomically(last, content);
    check_refused(run_program({"train", "--resume", trainings / "run"}), sentence);
    CHECK(read_file(last) == content);
  };
  refuses(whole.substr(0, whole.size() / 2), "last.safetensors is cut short");
  refuses("", "last.safetensors is not a safetensors file");
  std::string flipped = whole;
  flipped[whole.size() / 2] ^= 1;
  refuses(flipped, "last.safetensors was altered after it was written");
  fs::remove(last);
  write_file_atomically(trainings / "run/config.json", "{\"task\": \"detec");
  check_refused(run_program({"train", "--resume", trainings / "run"}),
                "config.json is not a configuration in JSON");
}

TEST_CASE("every command reports a full disk, and leaves nothing half-written") {
  Trainings trainings;
  REQUIRE(run_program(trainings.arguments("run", "1")).exit_code == 0);
  const std::string weights = trainings / "run/best.safetensors";
  const auto full = [&](const std::vector<std::string>& arguments, const std::string& sentence) {
    check_refused(run_program(arguments, 700), sentence);
    CHECK_FALSE(has_part_files(trainings / ""));
  };
  full({"data", "synth", trainings / "more"}, "File too large");
  full({"predict", weights, trainings / "shapes/val", "--output", trainings / "found"}, "File too large");
  full({"eval", weights, "--output", trainings / "eval"}, "File too large");
  full({"export", weights, "--output", trainings / "model.onnx"},
       "model.onnx cannot be written: File too large");
  CHECK_FALSE(fs::exists(trainings / "model.onnx"));
  const std::string errors = trainings / "errors.txt";
  const std::string command = std::string(FOVEA_PROGRAM) + " info >/dev/full 2>" + errors;
  CHECK(std::system(command.c_str()) != 0);
  CHECK_THAT(read_file(errors), Contains("cannot write the output: No space left on device"));
}

TEST_CASE("a run's folder that cannot be created is reported before the training starts") {
  const Trainings trainings;
  auto arguments = trainings.arguments("run");
  arguments[4] = "/proc/fovea/run";
  check_refused(run_program(arguments), "the folder /proc/fovea/run cannot be created: ");
  write_file_atomically(trainings / "file", "");
  arguments[4] = trainings / "file/run";
  check_refused(run_program(arguments), "file/run cannot be created: Not a directory");
}

// The sanitizers themselves need terabytes of address space.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("too little memory ends the training with one sentence") {
  const Trainings trainings;
  auto arguments = trainings.arguments("run");
  arguments[8] = "1024";  // pixels
  arguments[10] = "64";   // images: 768 MiB of them
  const auto result = run_program(arguments, 0, int64_t(1) << 30);
  check_refused(result, "out of memory: ");
  CHECK_FALSE(fs::exists(trainings / "run/last.safetensors"));
}
#endif
