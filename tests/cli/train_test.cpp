#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
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

std::vector<std::string> tiny(const std::string& run, std::vector<std::string> more = {}) {
  more.insert(more.begin(), {"--epochs", "4"});
  return tiny_training(shapes(), run, more);
}

const std::vector<std::string> every_augmentation{
    "--mosaic",           "0.5", "--mixup",          "0.5", "--crop",       "0.5",
    "--rotate",           "20",  "--random-erasing", "0.5", "--brightness", "0.3",
    "--contrast",         "0.3", "--saturation",     "0.3", "--hue",        "0.1",
    "--repeat-threshold", "0.9", "--multi-scale",    "0.5"};

bool has_part_files(const std::string& folder) {
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.path().extension() == ".part") return true;
  return false;
}

}  // namespace

TEST_CASE("a training leaves weights, figures, curves, a report and images, and they can be used") {
  const TemporaryFolder folder;
  const auto result = run_program(tiny(folder / "run"));
  CAPTURE(result.errors);
  REQUIRE(result.exit_code == 0);
  CHECK_THAT(result.output,
             Contains("Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ]"));
  CHECK_THAT(result.output, Contains("report.html"));
  CHECK_THAT(result.errors, Contains("images/s"));
  for (const char* file : {"last.safetensors", "best.safetensors", "config.json", "metrics.csv",
                           "report.html", "detections.json", "augmented.jpg", "mistakes.csv"})
    CHECK(fs::file_size(folder / "run/" + file) > 0);
  CHECK_FALSE(fs::is_empty(folder / "run/pictures"));
  CHECK_FALSE(has_part_files(folder / "run"));

  const Image augmented = read_image(folder / "run/augmented.jpg");  // four times four of 64 x 64
  CHECK(augmented.width == 4 * 68 - 4);
  CHECK(augmented.height == 4 * 68 - 4);
  CHECK_THAT(read_file(folder / "run/report.html"),
             Contains("<h2>Mistakes</h2>") && Contains("<td class=\"class\">nothing there</td>"));

  // The same command again finds the run complete; other settings are another run.
  const auto again = run_program(tiny(folder / "run"));
  CHECK(again.exit_code == 0);
  CHECK_THAT(again.errors, Contains("already holds this run: it is complete"));
  CHECK(again.output == result.output);
  const auto other = run_program(tiny(folder / "run", {"--seed", "2", "--optimizer", "sgd"}));
  CHECK(other.exit_code == 1);
  CHECK_THAT(other.errors, Contains("already holds a run with --optimizer \"adamw\", but \"sgd\" was given"));

  const auto eval = run_program({"eval", folder / "run/best.safetensors", "--output", folder / "eval"});
  CHECK(eval.exit_code == 0);
  CHECK(eval.output.substr(0, 1000) == result.output.substr(0, 1000));  // the same figures

  const auto predict = run_program(
      {"predict", folder / "run/best.safetensors", shapes() + "/val", "--output", folder / "found"});
  CHECK(predict.exit_code == 0);
  CHECK_THAT(predict.output, Contains("in 4 images"));
  CHECK(read_file(folder / "found/detections.json").front() == '[');
}

TEST_CASE("the same seed gives the same files on one thread and on two, and another seed does not") {
  const TemporaryFolder folder;
  REQUIRE(run_program(tiny(folder / "a")).exit_code == 0);
  std::vector<std::string> one_thread = tiny(folder / "b");
  one_thread.insert(one_thread.begin(), {"--threads", "1"});
  REQUIRE(run_program(one_thread).exit_code == 0);
  REQUIRE(run_program(tiny(folder / "c", {"--seed", "2"})).exit_code == 0);
  for (const char* file : {"last.safetensors", "best.safetensors", "detections.json"}) {
    CAPTURE(file);
    CHECK(read_file(folder / "a/" + file) == read_file(folder / "b/" + file));
  }
  CHECK(read_file(folder / "a/last.safetensors") != read_file(folder / "c/last.safetensors"));
}

TEST_CASE("Ctrl-C keeps a checkpoint, and a resumed training ends as one never interrupted") {
  const TemporaryFolder folder;
  std::vector<std::string> longer{"--epochs", "40", "--checkpoint-every", "1000", "--validate-every", "0"};
  longer.insert(longer.end(), every_augmentation.begin(), every_augmentation.end());
  REQUIRE(run_program(tiny(folder / "whole", longer)).exit_code == 0);
  Program program(tiny(folder / "run", longer));
  while (!fs::exists(folder / "run/metrics.csv")) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  program.signal(SIGINT);
  const auto stopped = program.wait();
  CAPTURE(stopped.errors);
  REQUIRE(stopped.exit_code == 1);
  CHECK_THAT(stopped.errors, Contains("stopped at step") && Contains("--resume"));
  // With the same command again; tests/scripts/kill_and_resume uses --resume.
  const auto resumed = run_program(tiny(folder / "run", longer));
  CAPTURE(resumed.errors);
  CHECK(resumed.exit_code == 0);
  CHECK_THAT(resumed.errors, Contains("already holds this run: continuing it"));
  CHECK(read_file(folder / "run/last.safetensors") == read_file(folder / "whole/last.safetensors"));

  const auto longer_still = run_program(tiny(folder / "run", {"--epochs", "50"}));
  CHECK(longer_still.exit_code == 1);
  CHECK_THAT(longer_still.errors, Contains("with --epochs 40.0, but 50.0 was given"));

  const auto changed = run_program({"train", "--resume", folder / "run", "--epochs", "5"});
  CHECK(changed.exit_code == 1);
  CHECK_THAT(changed.errors, Contains("leave out --epochs"));
  const auto nothing = run_program({"train", "--resume", folder / "nowhere"});
  CHECK(nothing.exit_code == 1);
  CHECK_THAT(nothing.errors, Contains("holds no run to resume"));
}

// A handler's frame would be written at the stack pointer, which is in the heap in the code that oneDNN
// generates for small products (one training in fifty ended with "free(): invalid pointer").
TEST_CASE("no handler of Ctrl-C or SIGTERM ever runs in a thread that computes") {
  const TemporaryFolder folder;
  Program program(tiny(folder / "run", {"--epochs", "40", "--validate-every", "0"}));
  while (!fs::exists(folder / "run/metrics.csv")) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  const unsigned long long both = 1ull << (SIGINT - 1) | 1ull << (SIGTERM - 1);
  const auto signals = [&](const std::string& status, const std::string& field) {
    const size_t at = status.find(field + ":");
    REQUIRE(at != std::string::npos);
    return std::stoull(status.substr(at + field.size() + 1), nullptr, 16) & both;
  };
  int threads = 0, open_to_both = 0;
  for (const auto& thread : fs::directory_iterator(fmt::format("/proc/{}/task", program.id()))) {
    std::ifstream file(thread.path() / "status");
    const std::string status{std::istreambuf_iterator<char>(file), {}};
    if (status.empty()) continue;  // it has ended
    ++threads;
    CHECK(signals(status, "SigCgt") == 0);
    const unsigned long long blocked = signals(status, "SigBlk");
    CHECK((blocked == 0 || blocked == both));
    open_to_both += blocked == 0;
  }
  CHECK(threads >= 2);
  CHECK(open_to_both == 1);  // in sigwait()
}

TEST_CASE("every augmentation at once: the same files on one thread and on two") {
  const TemporaryFolder folder;
  std::vector<std::string> all = every_augmentation;
  std::vector<std::string> one_thread = tiny(folder / "b", all);
  all.insert(all.end(), {"--workers", "2"});
  REQUIRE(run_program(tiny(folder / "a", all)).exit_code == 0);
  one_thread.insert(one_thread.begin(), {"--threads", "1"});
  one_thread.insert(one_thread.end(), {"--workers", "1"});
  REQUIRE(run_program(one_thread).exit_code == 0);
  REQUIRE(run_program(tiny(folder / "without")).exit_code == 0);
  for (const char* file : {"detections.json", "augmented.jpg"}) {
    CAPTURE(file);
    CHECK(read_file(folder / "a/" + file) == read_file(folder / "b/" + file));
    CHECK(read_file(folder / "a/" + file) != read_file(folder / "without/" + file));
  }
}

TEST_CASE("a loss that stops being finite ends the training with the step and advice") {
  const TemporaryFolder folder;
  const auto result = run_program(tiny(folder / "run", {"--optimizer", "sgd", "--learning-rate", "100",
                                                        "--clip-norm", "0", "--epochs", "50"}));
  CHECK(result.exit_code == 1);
  CHECK_THAT(result.errors,
             Contains("the training diverged") && Contains("at step") && Contains("--learning-rate"));
  CHECK_FALSE(has_part_files(folder / "run"));
}

TEST_CASE("a full disk ends the training with one sentence and nothing half-written") {
  const TemporaryFolder folder;
  const auto result = run_program(tiny(folder / "run"), 100000);
  CHECK(result.exit_code == 1);
  CHECK_THAT(result.errors, Contains("safetensors cannot be written: File too large"));
  CHECK_FALSE(fs::exists(folder / "run/last.safetensors"));
  CHECK_FALSE(has_part_files(folder / "run"));
}

TEST_CASE("what cannot be trained is refused in one sentence") {
  const TemporaryFolder folder;
  const auto refuses = [&](const std::vector<std::string>& arguments, const std::string& message) {
    const auto result = run_program(arguments);
    CAPTURE(message, result.errors);
    CHECK(result.exit_code == 1);
    CHECK_THAT(result.errors, Contains(message));
    CHECK_FALSE(fs::exists(folder / "run"));
  };
  refuses({"train", "--run", folder / "run"}, "--data is missing");
  refuses({"train", "--data", folder / "nowhere", "--run", folder / "run"}, "nowhere");
  refuses(tiny(folder / "run", {"--model", "efficientdet_d9"}),
          "there is no model efficientdet_d9: choose one of efficientdet_d-3");
  refuses(tiny(folder / "run", {"--batch-size", "5000"}), "--batch-size is 5000");
  refuses(tiny(folder / "run", {"--epochs", "many"}), "epochs");
  refuses(tiny(folder / "run", {"--train-split", "trian"}), "trian");
  refuses(tiny(folder / "run", {"--config", folder / "none.json"}), "none.json cannot be read");
  refuses({"trian"},
          "there is no command 'trian': choose one of train, eval, predict, export, quantize, info, data, "
          "bench, show, learn");
  refuses({"predict"}, "weights is required");
  refuses({}, "Start with:");
  refuses({"train", "--data", shapes(), "--mosaics", "0.3", "--run", folder / "run"},
          "there is no --mosaics: did you mean --mosaic? `fovea train --help` lists all flags");
  refuses({"data", "check", shapes(), "--ful=yes"},
          "there is no --ful: did you mean --full? `fovea data check --help`");
  refuses({"train", "shapes", "--run", folder / "run"},
          "unexpected argument 'shapes': see `fovea train --help`");
  refuses({"data", "chekc"}, "there is no command 'chekc': choose one of ");
  refuses({"data"}, "`fovea data` needs a command: choose one of ");
  write_file_atomically(folder / "c.json", "{\"epoch\": 3}");
  refuses({"train", "--config", folder / "c.json", "--run", folder / "run"},
          "there is no setting epoch; did you mean epochs?");
}

TEST_CASE("a configuration file sets what flags do not") {
  const TemporaryFolder folder;
  write_file_atomically(folder / "c.json", "{\"epochs\": 2, \"seed\": 7, \"data\": \"" + shapes() + "\"}");
  REQUIRE(run_program({"train", "--config", folder / "c.json", "--run", folder / "run", "--model",
                       "efficientdet_d-3", "--image-size", "64x80", "--batch-size", "4", "--seed", "8"})
              .exit_code == 0);
  const std::string config = read_file(folder / "run/config.json");
  CHECK_THAT(config,
             Contains("\"seed\": 8") && Contains("\"steps\": 6") && Contains("\"image_size\": \"64x80\""));
}

TEST_CASE("a flag and a configuration may have a former name, and a run of an earlier version continues") {
  const TemporaryFolder folder;
  const std::string run = folder / "run", settings = run + "/config.json";
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.end(), {"--epochs", "1"});
    return run_program(tiny(run, more));
  };
  REQUIRE(with({"--batch-norm-freeze", "0.25"}).exit_code == 0);
  std::string config = read_file(settings);
  CHECK_THAT(config, Contains("\"freeze_statistics_at\": 0.25") && !Contains("batch_norm_freeze"));
  CHECK_THAT(with({"--freeze-statistics-at", "0.25"}).errors, Contains("already holds this run"));
  CHECK_THAT(with({"--freeze-statistics-at", "0.75"}).errors,
             Contains("with --freeze-statistics-at 0.25, but 0.75 was given"));
  CHECK_THAT(with({"--batch-norm-freeze", "0.25", "--freeze-statistics-at", "0.25"}).errors,
             Contains("--freeze-statistics-at is given twice, once under its former name"));
  const std::string help = run_program({"train", "--help"}).output;
  CHECK_THAT(help, Contains("--freeze-statistics-at") && !Contains("--batch-norm-freeze") &&
                       Contains("in steps, instead of --epochs"));

  write_file_atomically(folder / "old.json", "{\"batch_norm_freeze\": 0.25}");
  CHECK_THAT(with({"--config", folder / "old.json"}).errors, Contains("already holds this run"));
  CHECK_THAT(with({"--config", folder / "old.json", "--freeze-statistics-at", "0.75"}).errors,
             Contains("with --freeze-statistics-at 0.25, but 0.75 was given"));

  const std::string name = "freeze_statistics_at", trained = read_file(run + "/last.safetensors");
  config.replace(config.find(name), name.size(), "batch_norm_freeze");
  write_file_atomically(settings, config);
  fs::remove(run + "/last.safetensors");  // stopped before its first checkpoint
  REQUIRE(run_program({"train", "--resume", run}).exit_code == 0);
  CHECK(read_file(run + "/last.safetensors") == trained);
}

TEST_CASE("checkpoints and images that cannot be used are refused, one bad image among others is left out") {
  const TemporaryFolder folder;
  REQUIRE(run_program(tiny(folder / "run", {"--epochs", "1"})).exit_code == 0);
  const std::string weights = folder / "run/best.safetensors", whole = read_file(weights);
  write_file_atomically(folder / "cut.safetensors", whole.substr(0, whole.size() / 2));
  create_folder(folder / "photos");
  write_file_atomically(folder / "photos/broken.jpg", "\xFF\xD8\xFF\xE0 no image");
  const auto refuses = [](const std::vector<std::string>& arguments, const std::string& message) {
    const auto result = run_program(arguments);
    CAPTURE(message, result.errors);
    CHECK(result.exit_code == 1);
    CHECK_THAT(result.errors, Contains(message));
  };
  refuses({"predict", folder / "cut.safetensors", folder / "photos", "--output", folder / "o"},
          "cut.safetensors is cut short");
  refuses({"predict", folder / "none.safetensors", folder / "photos", "--output", folder / "o"},
          "none.safetensors cannot be read");
  refuses({"predict", weights, folder / "nowhere", "--output", folder / "o"}, "nowhere does not exist");
  refuses({"predict", weights, folder / "photos/broken.jpg", "--output", folder / "o"}, "broken.jpg");
  write_file_atomically(folder / "photos/empty.png", "");
  refuses({"predict", weights, folder / "photos", "--output", folder / "o"}, "none of the 2 files");
  fs::copy(shapes() + "/val", folder / "photos", fs::copy_options::recursive);
  const auto result = run_program({"predict", weights, folder / "photos", "--output", folder / "o"});
  CHECK(result.exit_code == 0);
  CHECK_THAT(result.errors, Contains("warning: ") && Contains("broken.jpg"));
  CHECK_THAT(result.output, Contains("in 4 images"));
  const auto listed = run_program({"predict", weights, folder / "photos/broken.jpg",
                                   folder / "photos/000013.jpg", "--output", folder / "o"});
  CHECK(listed.exit_code == 0);
  CHECK_THAT(listed.errors, Contains("warning: ") && Contains("broken.jpg"));
  CHECK_THAT(listed.output, Contains("in 1 images"));
}

TEST_CASE("a classifier learns folders of images") {
  const TemporaryFolder folder;
  for (const char* name : {"red", "blue"})
    for (int i = 0; i < 10; ++i) {
      Image image(40, 32);
      for (size_t k = 0; k < image.pixels.size(); ++k)
        image.pixels[k] =
            uint8_t((k % 3 == (name[0] == 'r' ? 0 : 2) ? 200 : 30) + (k * 7 + size_t(i) * 13) % 40);
      create_folder(folder / "data/" + name);
      write_image(fmt::format("{}/data/{}/{}.png", folder.path(), name, i), image);
    }
  const auto result = run_program({"train", "--task", "classification", "--model", "efficientnet_b-3",
                                   "--data", folder / "data", "--run", folder / "run", "--image-size", "32",
                                   "--batch-size", "8", "--steps", "40"});
  CAPTURE(result.errors);
  REQUIRE(result.exit_code == 0);
  CHECK_THAT(result.output, Contains("top-1 accuracy 1.0000"));
  const auto mixed = run_program({"train",
                                  "--task",
                                  "classification",
                                  "--model",
                                  "efficientnet_b-3",
                                  "--data",
                                  folder / "data",
                                  "--run",
                                  folder / "mixed",
                                  "--image-size",
                                  "32",
                                  "--batch-size",
                                  "8",
                                  "--steps",
                                  "40",
                                  "--mixup",
                                  "0.5",
                                  "--label-smoothing",
                                  "0.1",
                                  "--class-weights",
                                  "auto"});
  CAPTURE(mixed.errors);
  REQUIRE(mixed.exit_code == 0);
  CHECK_THAT(mixed.output, Contains("top-1 accuracy 1.0000"));
  const std::string report = read_file(folder / "run/report.html");
  CHECK_THAT(report,
             Contains("<tr><td class=\"class\">blue</td><td style=\"background:rgba(37,99,201,0.60)\">2</td>"
                      "<td>·</td><td class=\"value\">2</td></tr>"));
  CHECK_THAT(report, Contains("right, but not confident: "));

  const auto eval = run_program({"eval", folder / "run/best.safetensors", "--output", folder / "eval"});
  CAPTURE(eval.errors);
  CHECK(eval.exit_code == 0);
  CHECK_THAT(eval.output, Contains("top-1 accuracy 1.0000, top-5 1.0000 on 4 images"));
  CHECK_THAT(read_file(folder / "eval/report.html"), Contains("<td class=\"class\">red</td>"));
  const auto other = run_program({"eval", folder / "run/best.safetensors", "--split", "test"});
  CHECK(other.exit_code == 1);
  CHECK_THAT(other.errors, Contains("has no folder test: give a --split that it has"));
}

TEST_CASE("a run keeps its box loss and its class weights, and prints the weights") {
  const TemporaryFolder folder;
  const std::vector<std::string> chosen{"--box-loss", "giou", "--class-weights", "auto"};
  const auto first = run_program(tiny(folder / "run", chosen));
  CAPTURE(first.errors);
  REQUIRE(first.exit_code == 0);
  CHECK_THAT(first.errors, Contains("; class weights "));
  CHECK_THAT(read_file(folder / "run/config.json"),
             Contains("\"box_loss\": \"giou\"") && Contains("\"class_weights\": \"auto\""));
  CHECK_THAT(run_program(tiny(folder / "run", chosen)).errors, Contains("it is complete"));
  CHECK_THAT(run_program(tiny(folder / "run", {"--box-loss", "diou"})).errors,
             Contains("with --box-loss \"giou\", but \"diou\" was given"));
  CHECK_THAT(run_program(tiny(folder / "run", {"--class-weights", "none"})).errors,
             Contains("with --class-weights \"auto\", but \"none\" was given"));
  CHECK_THAT(run_program(tiny(folder / "other", {"--class-weights", "unicorn=2"})).errors,
             Contains("--class-weights names the class 'unicorn', but the data set has "));
}

TEST_CASE("a run of inputs of several sizes says them, keeps the option, and ends where it should") {
  const TemporaryFolder folder;
  const auto result = run_program(tiny(folder / "run", {"--multi-scale", "0.5"}));
  CAPTURE(result.errors);
  REQUIRE(result.exit_code == 0);
  CHECK_THAT(result.errors, Contains("64x64 px (32x32 to 96x96 in training), "));
  CHECK_THAT(read_file(folder / "run/config.json"), Contains("\"multi_scale\": 0.5"));
  CHECK_THAT(run_program(tiny(folder / "run", {"--multi-scale", "0"})).errors,
             Contains("with --multi-scale 0.5, but 0.0 was given"));
  const auto narrow = run_program(tiny(folder / "narrow", {"--multi-scale", "0.25"}));
  CHECK(narrow.exit_code == 1);
  CHECK_THAT(narrow.errors, Contains("--multi-scale is 0.25 and the input 64x64 px: less than two sizes"));
  CHECK_FALSE(fs::exists(folder / "narrow"));
}

TEST_CASE("overfit fits a few images, and reports whether it did") {
  const TemporaryFolder folder;
  const auto overfit = [&](const std::string& run, const std::string& steps,
                           const std::string& box_loss = "huber") {
    return run_program(
        tiny_training(shapes(), folder / run,
                      {"--image-size", "96", "--overfit", "2", "--steps", steps, "--box-loss", box_loss}));
  };
  const auto learned = overfit("learned", "150");
  CAPTURE(learned.errors, learned.output);
  CHECK(learned.exit_code == 0);
  CHECK_THAT(learned.output, Contains("overfitted: AP50 is 1.0000 on the 2 training images"));
  CHECK_THAT(read_file(folder / "learned/config.json"), Contains("\"horizontal_flip\": false") &&
                                                            Contains("\"scale_min\": 1.0") &&
                                                            Contains("\"batch_size\": 2"));
  const auto by_overlap = overfit("ciou", "150", "ciou");
  CAPTURE(by_overlap.errors, by_overlap.output);
  CHECK(by_overlap.exit_code == 0);
  CHECK_THAT(by_overlap.output, Contains("overfitted: AP50 is 1.0000 on the 2 training images"));
  CHECK_THAT(read_file(folder / "ciou/config.json"),
             Contains("\"box_loss\": \"ciou\"") && Contains("\"box_loss_weight\": 1.0"));
  const auto not_yet = overfit("short", "3");
  CHECK(not_yet.exit_code == 1);
  CHECK_THAT(not_yet.errors, Contains("on the 2 training images it was shown, where 1 was expected") &&
                                 Contains("more --steps than 3"));
  CHECK(fs::exists(folder / "short/report.html"));
  const auto too_many = run_program(tiny(folder / "many", {"--overfit", "100"}));
  CHECK(too_many.exit_code == 1);
  CHECK_THAT(too_many.errors, Contains("--overfit is 100, but") && Contains("has 12 images with boxes"));
}

TEST_CASE("find-learning-rate prints rates and losses and keeps no run") {
  const TemporaryFolder folder;
  const auto result = run_program(tiny(folder / "run", {"--find-learning-rate"}));
  CAPTURE(result.errors);
  REQUIRE(result.exit_code == 0);
  CHECK_THAT(result.output, Contains("learning rate      loss") && Contains("1.00e-06") &&
                                Contains("suggested: --learning-rate "));
  CHECK(fs::exists(folder / "run/learning_rate.svg"));
  CHECK_FALSE(fs::exists(folder / "run/config.json"));
}

TEST_CASE("pictures that no list has are counted before the first step") {
  const TemporaryFolder folder;
  fs::copy(shapes(), folder / "data", fs::copy_options::recursive);
  write_image(folder / "data/spare.png", Image(8, 8));
  const auto result = run_program(tiny_training(folder / "data", folder / "data/run", {"--steps", "1"}));
  CHECK(result.exit_code == 0);
  CHECK_THAT(result.errors, Contains("data/spare.png is in no split"));
}

TEST_CASE("what keeps AP at 0 is reported before the first step") {
  const TemporaryFolder folder;
  fs::copy(shapes(), folder / "data", fs::copy_options::recursive);
  // Anchors of 128 pixels and more on images of 64.
  const auto far =
      run_program(tiny_training(folder / "data", folder / "far", {"--anchor-scale", "16", "--steps", "1"}));
  CHECK(far.exit_code == 0);
  CHECK_THAT(far.errors,
             Contains("of the training boxes overlap no anchor with an IoU of 0.5 at 64x64 pixels "
                      "and anchor scale 16") &&
                 Contains("--anchor-scale") && Contains("would leave"));
  const std::string val = folder / "data/annotations/instances_val.json";
  auto truth = nlohmann::json::parse(read_file(val));
  truth["annotations"] = nlohmann::json::array();
  write_file_atomically(val, truth.dump());
  const auto empty = run_program(tiny_training(folder / "data", folder / "empty", {"--steps", "1"}));
  CHECK_THAT(empty.errors, Contains("instances_val.json has no box at all: every figure will be -1"));
}
