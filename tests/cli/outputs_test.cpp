// The results of commands never overwrite what is read, and no two have the same name.
#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "core/file.h"
#include "models/efficientdet.h"
#include "models/efficientnet.h"
#include "models/weights.h"
#include "tests/support/program.h"
#include "tests/support/shapes.h"
#include "train/data/image/image_io.h"

using namespace fovea;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {

// Random weights of a small detector and classifier of two classes, a folder of photos, and names of classes.
class Weights {
 public:
  Weights() {
    Random random(1);
    save_weights(folder_ / "efficientdet_d-3.safetensors",
                 EfficientDet(efficientdet_spec("efficientdet_d-3"), 2, random));
    save_weights(folder_ / "efficientnet_b-3.safetensors",
                 EfficientNet(efficientnet_spec("efficientnet_b-3"), 2, random));
    create_folder(folder_ / "photos");
  }
  std::string operator/(const std::string& name) const { return folder_ / name; }
  std::string detector() const { return folder_ / "efficientdet_d-3.safetensors"; }
  std::string classifier() const { return folder_ / "efficientnet_b-3.safetensors"; }

  // An image in a folder, with the same content each time.
  std::string photo(const std::string& name) const {
    const std::string path = folder_ / name;
    create_folder(fs::path(path).parent_path().string());
    if (name.ends_with(".bmp"))
      write_file_atomically(path,
                            read_file(std::string(FOVEA_SOURCE_DIR) + "/tests/golden/images/palette.bmp"));
    else
      write_image(path, Image(32, 24));
    return path;
  }

 private:
  TemporaryFolder folder_;
};

std::set<std::string> files_in(const std::string& folder) {
  std::set<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) files.insert(entry.path().lexically_relative(folder).string());
  return files;
}

void check_refused(const ProgramResult& result, const std::string& message) {
  CAPTURE(message, result.errors);
  CHECK(result.exit_code == 1);
  CHECK_THAT(result.errors, Contains(message));
}

}  // namespace

TEST_CASE("predict writes nothing among its images, not even through links") {
  const Weights weights;
  const std::string photo = weights.photo("photos/photo.jpg"), before = read_file(photo);
  const std::string folder = weights / "photos";
  const auto predict = [&](const std::string& images, const std::string& output) {
    return run_program({"predict", weights.detector(), images, "--output", output});
  };
  check_refused(predict(folder, folder), "results must not be among the images");
  check_refused(predict(photo, folder), "results must not be among the images");
  fs::create_directory_symlink(folder, weights / "link");
  check_refused(predict(folder, weights / "link"), "results must not be among the images");
  create_folder(weights / "found");
  fs::create_symlink(photo, weights / "found/photo.jpg");
  check_refused(predict(folder, weights / "found"), "found/photo.jpg is an input of this program");
  fs::remove(weights / "found/photo.jpg");
  fs::create_hard_link(photo, weights / "found/photo.jpg");
  check_refused(predict(folder, weights / "found"), "found/photo.jpg is an input of this program");
  CHECK(read_file(photo) == before);
  CHECK(files_in(folder) == std::set<std::string>{"photo.jpg"});
}

TEST_CASE("predict gives each result its own name, and reports what else is in the folder") {
  const Weights weights;
  for (const char* name : {"a.jpg", "a.png", "a.bmp", "b.png", "a.png.jpg", "sub/a.jpg", "sub/deep/c.jpg"})
    weights.photo(std::string("photos/") + name);
  write_file_atomically(weights / "photos/notes.txt", "no image");
  const std::vector<std::string> command{"predict", weights.detector(), weights / "photos", "--output",
                                         weights / "photos/found"};
  const auto flat = run_program(command);
  CAPTURE(flat.errors);
  REQUIRE(flat.exit_code == 0);
  CHECK(files_in(weights / "photos/found") == std::set<std::string>{"a.jpg.jpg", "a.png.jpg", "a.bmp.jpg",
                                                                    "a.png_2.jpg", "b.jpg",
                                                                    "detections.json"});
  CHECK_THAT(flat.errors,
             Contains("1 files are left out because they have no image extension, such as notes.txt") &&
                 Contains("1 folders are not searched without --recursive, such as sub") &&
                 !Contains("warning"));

  auto recursive = command;
  recursive.push_back("--recursive");
  const auto deep = run_program(recursive);
  CAPTURE(deep.errors);
  REQUIRE(deep.exit_code == 0);  // the results of the run before are not read as images
  CHECK_THAT(deep.output, Contains("in 7 images"));
  CHECK(files_in(weights / "photos/found").contains("sub/deep/c.jpg"));
  std::set<std::string> names;
  for (const auto& entry : nlohmann::json::parse(read_file(weights / "photos/found/detections.json")))
    names.insert(entry["file_name"].get<std::string>());
  CHECK(names.contains("sub/a.jpg"));

  fs::remove(weights / "photos/b.png");
  const auto less = run_program(recursive);
  CHECK_THAT(less.errors, Contains("also holds 1 file that was not written now, such as b.jpg"));
  CHECK(fs::exists(weights / "photos/found/b.jpg"));
}

TEST_CASE("predict takes several paths, and names images from the folder that all of them lie in") {
  const Weights weights;
  for (const char* name : {"a/1.jpg", "a/2.jpg", "b/1.jpg"}) weights.photo(name);
  const auto predict = [&](const std::vector<std::string>& paths) {
    std::vector<std::string> arguments{"predict", weights.detector(), "--output", weights / "found"};
    for (const std::string& path : paths) arguments.push_back(weights / path);
    fs::remove_all(weights / "found");
    return run_program(arguments);
  };
  const auto check_found = [&](const std::vector<std::string>& paths, std::set<std::string> expected) {
    const auto result = predict(paths);
    CAPTURE(result.errors);
    CHECK(result.exit_code == 0);
    CHECK_THAT(result.output, Contains(fmt::format("in {} images", expected.size())));
    expected.insert("detections.json");
    CHECK(files_in(weights / "found") == expected);
  };
  check_found({"a/1.jpg", "a/2.jpg"}, {"1.jpg", "2.jpg"});
  check_found({"a/1.jpg", "b/1.jpg"}, {"a/1.jpg", "b/1.jpg"});
  check_found({"b/../b", "a/2.jpg"}, {"b/1.jpg", "a/2.jpg"});
  check_found({"a/", "a/2.jpg"}, {"1.jpg", "2.jpg.jpg", "2.jpg_2.jpg"});
  check_refused(predict({"a/1.jpg", "a/3.jpg"}), "a/3.jpg does not exist: give images");
  CHECK_FALSE(fs::exists(weights / "found"));
  create_folder(weights / "empty");
  check_refused(predict({"a/1.jpg", "empty"}), "empty has no images");
}

TEST_CASE("a file name that is not UTF-8 does not lose the results") {
  const Weights weights;
  weights.photo("photos/caf\xE9.png");
  for (const std::string& model : {weights.detector(), weights.classifier()}) {
    const auto result = run_program({"predict", model, weights / "photos", "--output", weights / "found"});
    CAPTURE(result.errors);
    CHECK(result.exit_code == 0);
  }
  CHECK_THAT(read_file(weights / "found/classes.json"), Contains("caf\\\\xE9.png"));
  CHECK(fs::exists(weights / "found/detections.json"));
}

TEST_CASE("no command overwrites what it reads") {
  const Weights weights;
  const std::string before = read_file(weights.detector());
  fs::create_symlink(weights.detector(), weights / "link.safetensors");
  write_file_atomically(weights / "names.txt", "cat\ndog\n");
  const auto over = [&](std::vector<std::string> arguments) {
    check_refused(run_program(arguments), "is an input of this program and would be overwritten");
  };
  over({"export", weights.detector(), "--output", weights.detector()});
  over({"export", weights.detector(), "--output", weights / "link.safetensors"});
  over({"export", weights.detector(), "--class-names", weights / "names.txt", "--output",
        weights / "names.txt"});
  over({"info", weights.detector(), "--graph", weights.detector()});
  CHECK(read_file(weights.detector()) == before);
  CHECK(read_file(weights / "names.txt") == "cat\ndog\n");

  fs::copy(shapes(), weights / "data", fs::copy_options::recursive);
  std::string image;
  for (const auto& entry : fs::directory_iterator(weights / "data/val")) image = entry.path().string();
  const std::string pixels = read_file(image);
  over({"data", "check", weights / "data", "--mosaic", image});
  create_folder(weights / "run/pictures");
  fs::create_hard_link(image, weights / "run/pictures/x.jpg");
  over({"train", "--data", weights / "data", "--run", weights / "run", "--model", "efficientdet_d-3"});
  CHECK(files_in(weights / "run") == std::set<std::string>{"pictures/x.jpg"});

  const auto train = [&](const std::string& run, std::vector<std::string> more) {
    more.insert(more.begin(), {"--epochs", "1"});
    return run_program(tiny_training(weights / "data", run, more));
  };
  create_folder(weights / "start");
  fs::copy(weights.detector(), weights / "start/best.safetensors");
  check_refused(train(weights / "start", {"--init-from", weights / "start/best.safetensors"}),
                "start/best.safetensors is an input of this program");
  const std::string settings = "{\"data\": \"" + weights / "data" + "\"}";
  write_file_atomically(weights / "start/config.json", settings);
  over({"train", "--config", weights / "start/config.json", "--run", weights / "start"});
  CHECK(read_file(weights / "start/config.json") == settings);

  const auto good = train(weights / "good", {});
  CAPTURE(good.errors);
  REQUIRE(good.exit_code == 0);
  const std::string best = weights / "good/best.safetensors";
  over({"eval", best, "--output", weights / "run"});
  CHECK(read_file(image) == pixels);

  // The pictures of an earlier evaluation are reported.
  REQUIRE(run_program({"eval", best, "--output", weights / "eval"}).exit_code == 0);
  write_image(weights / "eval/pictures/old.jpg", Image(8, 8));
  const auto again = run_program({"eval", best, "--output", weights / "eval"});
  CHECK_THAT(again.output, Contains("also holds 1 file that was not written now, such as old.jpg"));
  CHECK_THAT(read_file(weights / "eval/detections.json"), Contains("\"file_name\":\""));
}

TEST_CASE("more than 100 objects in an image are found and evaluated with --max-detections") {
  const Weights weights;
  weights.photo("photos/a.png");
  const auto count = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments{"predict", weights.detector(), weights / "photos", "--output",
                                       weights / "found"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const auto result = run_program(arguments);
    CAPTURE(result.errors);
    CHECK(result.exit_code == 0);
    return nlohmann::json::parse(read_file(weights / "found/detections.json")).size();
  };
  const size_t usual = count({}), more = count({"--max-detections", "150"});
  CHECK(usual <= 100);
  CHECK(more >= usual);
  CHECK(more <= 150);
  CHECK(count({"--max-detections", "3"}) <= 3);

  // An image of 120 boxes, all found.
  nlohmann::json truth{{"categories", {{{"id", 1}, {"name", "cell"}}}},
                       {"images", {{{"id", 1}, {"file_name", "a.png"}, {"width", 1300}, {"height", 100}}}}};
  nlohmann::json results;
  for (int i = 0; i < 120; ++i) {
    const nlohmann::json box{i * 10, 10, 8, 8};
    truth["annotations"].push_back(
        {{"id", i + 1}, {"image_id", 1}, {"category_id", 1}, {"bbox", box}, {"area", 64}, {"iscrowd", 0}});
    results.push_back({{"image_id", 1}, {"category_id", 1}, {"bbox", box}, {"score", 0.5}});
  }
  write_file_atomically(weights / "t.json", truth.dump());
  write_file_atomically(weights / "r.json", results.dump());
  const std::vector<std::string> eval{"eval", "--truth", weights / "t.json", "--detections",
                                      weights / "r.json"};
  const auto by_default = run_program(eval);
  CHECK_THAT(by_default.output, Contains("AR100      0.8333"));
  CHECK_THAT(by_default.errors, Contains("1 image with more objects than the 100 that may be found in one") &&
                                    Contains("give --max-detections 120 or more"));
  auto with_more = eval;
  with_more.insert(with_more.end(), {"--max-detections", "200"});
  const auto all = run_program(with_more);
  CHECK_THAT(all.output, Contains("AR100      1.0000"));
  CHECK(all.errors.empty());

  // A training stores it.
  const auto run =
      run_program(tiny_training(shapes(), weights / "run", {"--epochs", "1", "--max-detections", "1"}));
  CHECK_THAT(run.errors, Contains("with more objects than the 1 that may be found"));
  std::set<int> images;
  const auto found = nlohmann::json::parse(read_file(weights / "run/detections.json"));
  for (const auto& entry : found) images.insert(entry["image_id"].get<int>());
  CHECK(found.size() == images.size());
  const auto exported = run_program(
      {"export", weights / "run/best.safetensors", "--detections", "--output", weights / "m.onnx"});
  CHECK(exported.exit_code == 0);
}
