#include <catch2/catch.hpp>
#include <filesystem>

#include "core/error.h"
#include "core/file.h"
#include "tests/support/program.h"
#include "tests/support/shapes.h"
#include "train/data/image/image_io.h"

using namespace fovea;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {

size_t lines_with(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++count;
  return count;
}

}  // namespace

TEST_CASE("data check prints counts, sizes, the anchors' cover and an image, and answers 0") {
  const TemporaryFolder folder;
  const auto result = run_program({"data", "check", shapes(), "--mosaic", folder / "mosaic.png"});
  CAPTURE(result.output, result.errors);
  CHECK(result.exit_code == 0);
  CHECK_THAT(result.output, Contains("shapes: COCO, 16 images, ") && Contains(" 3 classes\n"));
  CHECK_THAT(result.output,
             Contains("train       val\n") && Contains("images") && Contains("       12         4\n"));
  CHECK_THAT(result.output, Contains("image sizes, width x height: 96x80 (16)"));
  CHECK_THAT(result.output, Contains("in the 224x256 input of efficientdet_d-2, anchor scale 2"));
  CHECK_THAT(result.output, Contains("--anchor-scale"));
  CHECK_THAT(result.output, Contains("0 errors, ") && Contains("training can start"));
  const Image mosaic = read_image(folder / "mosaic.png");
  CHECK(mosaic.width == 4 * 404 - 4);
  CHECK(mosaic.height == 4 * 337 - 4);  // tiles of 400 x 333
}

TEST_CASE("data check exits with 1 where training would stop, and shows ten faults of a kind or all") {
  const TemporaryFolder folder;
  REQUIRE(run_program({"data", "convert", shapes(), folder / "yolo", "--to", "yolo"}).exit_code == 0);
  std::string lines;
  for (int i = 0; i < 12; ++i) lines += fmt::format("{} 0.5 0.5 0.1 0.1\n", 90 + i);
  const std::string file = folder / "yolo/labels/train/000001.txt";
  write_file_atomically(file, read_file(file) + lines);
  const auto some = run_program({"data", "check", folder / "yolo", "--split", "train"});
  CAPTURE(some.output, some.errors);
  CHECK(some.exit_code == 1);
  CHECK_THAT(some.output,
             Contains("yolo: YOLO, 12 images") && Contains("ERROR: classes that are not in the list of "
                                                           "classes: 12"));
  CHECK_THAT(some.output, Contains("the class is 90, but ") && Contains("data.yaml names 3, from 0 to 2"));
  CHECK_THAT(some.output, Contains("  and 2 more\n") && Contains("training would stop at the errors"));
  CHECK(lines_with(some.output, "the class is ") == 10);
  const auto all = run_program({"data", "check", folder / "yolo", "--split", "train,val", "--full"});
  CHECK(all.exit_code == 1);
  CHECK(lines_with(all.output, "the class is ") == 12);
  const auto train = run_program({"train", "--data", folder / "yolo", "--run", folder / "run"});
  CHECK(train.exit_code == 1);  // the same fault stops it
  CHECK_THAT(train.errors, Contains("the class is 90"));
}

TEST_CASE("data check names the flag for a split that is not there") {
  const TemporaryFolder folder;
  fs::copy(shapes(), folder / "shapes", fs::copy_options::recursive);
  fs::remove(folder / "shapes/annotations/instances_val.json");
  const auto result = run_program({"data", "check", folder / "shapes"});
  CAPTURE(result.errors);
  CHECK(result.exit_code == 0);
  CHECK_THAT(result.output, Contains("choose one for `fovea train` with --val-split"));
}

TEST_CASE("a training on YOLO and Pascal VOC data is one on the COCO data they were converted from") {
  const TemporaryFolder folder;
  const auto train = [&](const std::string& data, const std::string& run) {
    const auto result = run_program(tiny_training(data, run, {"--steps", "3"}));
    CAPTURE(result.errors);
    CHECK(result.exit_code == 0);
    return read_file(run + "/last.safetensors").size();
  };
  const auto yolo = run_program({"data", "convert", shapes(), folder / "yolo", "--to", "yolo", "--link"});
  CHECK(yolo.exit_code == 0);
  CHECK_THAT(yolo.output, Contains("16 images with ") && Contains(": YOLO, splits train, val"));
  CHECK(train(folder / "yolo", folder / "a") > 100000);
  CHECK(run_program({"data", "convert", folder / "yolo", folder / "voc", "--to", "voc"}).exit_code == 0);
  CHECK(train(folder / "voc", folder / "b") > 100000);
}

TEST_CASE("data convert on a full disk leaves nothing, and refuses a folder that holds something") {
  const TemporaryFolder folder;
  const auto full = run_program({"data", "convert", shapes(), folder / "voc", "--to", "voc"}, 1000);
  CHECK(full.exit_code == 1);
  CHECK_THAT(full.errors, Contains("cannot be "));
  CHECK(fs::is_empty(folder.path()));
  const auto there = run_program({"data", "convert", shapes(), shapes(), "--to", "voc"});
  CHECK(there.exit_code == 1);
  CHECK_THAT(there.errors, Contains("already exists: give a new or an empty folder"));
  const auto format = run_program({"data", "convert", shapes(), folder / "x", "--to", "tfrecord"});
  CHECK(format.exit_code == 1);
  CHECK_THAT(format.errors, Contains("--to") && Contains("tfrecord"));
}

TEST_CASE("a data set of one split is trained on, and what is not UTF-8 never ends a run") {
  const TemporaryFolder folder;
  const std::string data = folder / "caf\xE9";
  fs::copy(shapes(), data, fs::copy_options::recursive);
  fs::remove(data + "/annotations/instances_val.json");
  fs::rename(data + "/annotations/instances_train.json", data + "/annotations/instances_default.json");
  fs::rename(data + "/train", data + "/default");
  fs::remove_all(data + "/val");
  const auto check = run_program({"data", "check", data});
  CHECK(check.exit_code == 0);
  CHECK_THAT(check.output,
             Contains("caf\\xE9 has only the split \"default\": training holds out every fifth image"));
  const auto train = run_program(tiny_training(data, folder / "run", {"--batch-size", "2", "--steps", "1"}));
  CAPTURE(train.errors);
  CHECK(train.exit_code == 0);
  CHECK_THAT(train.errors, Contains("of its 12 images are held out for validation, drawn by --seed 1"));
  const auto eval = run_program({"eval", folder / "run/last.safetensors"});
  CHECK(eval.exit_code == 0);
}

TEST_CASE("train warns of validation images that are also training images") {
  const TemporaryFolder folder;
  fs::copy(shapes(), folder / "shapes", fs::copy_options::recursive);
  fs::copy(folder / "shapes/annotations/instances_train.json",
           folder / "shapes/annotations/instances_val.json", fs::copy_options::overwrite_existing);
  fs::copy(folder / "shapes/train", folder / "shapes/val",
           fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  const auto result =
      run_program(tiny_training(folder / "shapes", folder / "run", {"--batch-size", "2", "--steps", "1"}));
  CHECK(result.exit_code == 0);
  CHECK_THAT(result.errors, Contains("12 of the 12 validation images are also training images"));
}
