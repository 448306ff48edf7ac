#include "train/data/synth/synth.h"

#include <fmt/format.h>

#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <numbers>
#include <set>

#include "core/file.h"
#include "core/parallel.h"
#include "tests/support/test_data.h"
#include "train/data/image/image_io.h"
#include "train/data/synth/synth_scene.h"
#include "train/data/synth/synth_shapes.h"
#include "train/data/synth/synth_texture.h"

using namespace fovea;
using Catch::Contains;
using nlohmann::json;

namespace {

constexpr double pi = std::numbers::pi;

// All files below a folder, by their path in it.
std::map<std::string, std::string> contents(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    if (entry.is_regular_file())
      files[entry.path().lexically_relative(folder).generic_string()] = read_file(entry.path().string());
  return files;
}

// The mean colour of the pixels from `from` to `to` half box sizes away from the middle of a box.
std::array<double, 3> ring_colour(const Image& image, const Annotation& box, double from, double to) {
  std::array<double, 3> sum{};
  double count = 0;
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x) {
      const double dx = std::abs(x + 0.5 - box.x - box.width / 2) / (box.width / 2);
      const double dy = std::abs(y + 0.5 - box.y - box.height / 2) / (box.height / 2);
      if (std::max(dx, dy) < from || std::max(dx, dy) > to) continue;
      for (size_t c = 0; c < 3; ++c) sum[c] += image.at(x, y)[c];
      ++count;
    }
  for (double& s : sum) s /= count;
  return sum;
}

bool differ(const std::array<double, 3>& a, const std::array<double, 3>& b) {
  return std::hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]) > 25;
}

double iou(const Annotation& a, const Annotation& b) {
  const double width = std::min(a.x + a.width, b.x + b.width) - std::max(a.x, b.x);
  const double height = std::min(a.y + a.height, b.y + b.height) - std::max(a.y, b.y);
  const double both = std::max(0.0, width) * std::max(0.0, height);
  return both / (a.width * a.height + b.width * b.height - both);
}

}  // namespace

TEST_CASE("shapes have the areas of geometry and boxes that touch them") {
  struct Case {
    ShapeKind kind;
    double area;  // of the shape in -1 .. 1
  };
  const Case cases[] = {{ShapeKind::ellipse, pi},
                        {ShapeKind::rectangle, 4},
                        {ShapeKind::triangle, 2},
                        {ShapeKind::star, 5 * 0.45 * std::sin(pi / 5)},
                        {ShapeKind::cross, 2 * (2 * 0.72) - 0.72 * 0.72},
                        {ShapeKind::ring, pi * 0.7}};
  for (const Case& c : cases)
    for (const double angle : {0.0, 0.4, 1.9, 4.0}) {
      CAPTURE(shape_name(c.kind), angle);
      const Mask mask = rasterize({c.kind, 101.3, 98.7, 70, 50, angle}, 200, 200);
      CHECK(mask.area == Approx(c.area * 70 * 50).epsilon(0.005));
      CHECK(mask.whole_area == Approx(mask.area));
    }

  const Mask upright = rasterize({ShapeKind::rectangle, 20, 10, 6, 4, 0}, 100, 100);
  CHECK(upright.box_left == 14);
  CHECK(upright.box_right == 26);
  CHECK(upright.box_top == 6);
  CHECK(upright.box_bottom == 14);
  CHECK(upright.area == 96);
  CHECK(upright.at(14, 6) == 1);
  const Mask quarter = rasterize({ShapeKind::rectangle, 20.25, 10, 6, 4, pi / 2}, 100, 100);  // sides swapped
  CHECK(quarter.box_left == 16.25);
  CHECK(quarter.box_right == 24.25);
  CHECK(quarter.box_top == 4);
  CHECK(quarter.at(16, 9) == 0.75f);
  const Mask diamond = rasterize({ShapeKind::rectangle, 50, 50, 20, 20, pi / 4}, 100, 100);
  CHECK(diamond.box_left == Approx(50 - 20 * std::sqrt(2.0)).margin(0.3));
  CHECK(diamond.box_bottom == Approx(50 + 20 * std::sqrt(2.0)).margin(0.3));
  const Mask star = rasterize({ShapeKind::star, 50, 50, 40, 40, 0}, 100, 100);  // one point up
  CHECK(star.box_top == Approx(10).margin(1.5));
  CHECK(star.box_bottom == Approx(50 + 40 * std::cos(pi / 5)).margin(0.5));
  CHECK(star.box_right == Approx(50 + 40 * std::sin(2 * pi / 5)).margin(1));
}

TEST_CASE("a shape over the edge of the image is cut off there") {
  const Mask mask = rasterize({ShapeKind::ellipse, 0, 30, 20, 10, 0}, 100, 60);
  CHECK(mask.box_left == 0);
  CHECK(mask.box_right == 20);
  CHECK(mask.area == Approx(mask.whole_area / 2).epsilon(1e-6));
  const Mask outside = rasterize({ShapeKind::ellipse, -50, 30, 20, 10, 0}, 100, 60);
  CHECK(outside.area == 0);
  CHECK(outside.coverage.empty());

  // Box and drawn pixels agree wherever the shape lies.
  Random random(5);
  for (int i = 0; i < 200; ++i) {
    const DrawnShape shape{ShapeKind(random.below(6)), random.uniform(0, 80), random.uniform(0, 60),
                           random.uniform(4, 30),      random.uniform(4, 30), random.uniform(0, 6)};
    const Mask m = rasterize(shape, 80, 60);
    int left = 80, top = 60, right = 0, bottom = 0;
    for (int y = 0; y < 60; ++y)
      for (int x = 0; x < 80; ++x)
        if (m.contains(x, y) && m.at(x, y) > 0) {
          left = std::min(left, x), top = std::min(top, y);
          right = std::max(right, x + 1), bottom = std::max(bottom, y + 1);
        }
    REQUIRE(left == std::floor(m.box_left));
    REQUIRE(top == std::floor(m.box_top));
    REQUIRE(right == std::ceil(m.box_right));
    REQUIRE(bottom == std::ceil(m.box_bottom));
  }
}

TEST_CASE("textures stay between their colours and repeat after a period") {
  Random random(6);
  const Colour black{}, white{1, 1, 1};
  for (const TextureKind kind : {TextureKind::flat, TextureKind::gradient, TextureKind::stripes,
                                 TextureKind::checker, TextureKind::noise, TextureKind::blobs}) {
    const Texture texture = random_texture(random, kind, black, white, 20);
    float low = 1, high = 0;
    for (int i = 0; i < 4000; ++i) {
      const float value = texture.at(random.uniform(-50, 50), random.uniform(-50, 50)).red;
      low = std::min(low, value), high = std::max(high, value);
    }
    CAPTURE(int(kind), low, high);
    CHECK(low >= -0.08f);  // a gradient's grain goes beyond its ends a little
    CHECK(high <= 1.08f);
    if (kind == TextureKind::flat)
      CHECK(high == 0);
    else
      CHECK(high - low > 0.5f);
  }
  const Texture stripes{TextureKind::stripes, black, white, 20, 0.6f, 0.8f};
  CHECK(stripes.at(3, 4).green == Approx(stripes.at(3 + 12, 4 + 16).green).margin(1e-3));
  CHECK(stripes.at(3, 4).green > 0.9f);          // a quarter period in
  CHECK(stripes.at(3 + 6, 4 + 8).green < 0.1f);  // half a period on
  CHECK(stripes.at(3 - 8, 4 + 6).green == Approx(stripes.at(3, 4).green).margin(1e-3));  // along the stripe
  for (int i = 0; i < 100; ++i) {
    const Colour colour = random_colour(random, 0.2f, 0.5f, 0.4f, 0.6f);
    const float high = std::max({colour.red, colour.green, colour.blue}),
                low = std::min({colour.red, colour.green, colour.blue});
    REQUIRE(high >= 0.4f);
    REQUIRE(high <= 0.6f);
    REQUIRE(1 - low / high == Approx(0.35).margin(0.151));
  }
}

TEST_CASE("scenes hold visible objects of all classes and sizes") {
  std::array<int, 4> labels{};
  std::map<size_t, int> counts;
  std::array<int, 4> octaves{};  // of the box's size: below 32, 64, 128 pixels, and above
  int objects = 0, partly_hidden = 0, isolated = 0, standing_out = 0;
  for (uint64_t stream = 0; stream < 400; ++stream) {
    Random random(11, stream);
    const DrawnScene scene = draw_scene(320, 240, 4, random);
    REQUIRE(scene.image.width == 320);
    REQUIRE(scene.image.height == 240);
    REQUIRE(scene.visible.size() == scene.objects.size());
    ++counts[scene.objects.size()];
    for (size_t i = 0; i < scene.objects.size(); ++i) {
      const Annotation& o = scene.objects[i];
      ++objects;
      ++labels[size_t(o.label)];
      REQUIRE((o.x >= 0 && o.y >= 0 && o.x + o.width <= 320 && o.y + o.height <= 240));
      REQUIRE(o.area > 0.2 * o.width * o.height);
      REQUIRE(o.area <= o.width * o.height);
      const double size = std::sqrt(o.width * o.height);
      REQUIRE(size > 9);
      ++octaves[size < 32 ? 0 : size < 64 ? 1 : size < 128 ? 2 : 3];
      REQUIRE(scene.visible[i] >= 0.6 - 1e-6);
      REQUIRE(scene.visible[i] <= 1 + 1e-6);
      partly_hidden += scene.visible[i] < 0.95;
      for (size_t j = 0; j < i; ++j) REQUIRE(iou(o, scene.objects[j]) <= 0.25);
    }
    if (scene.objects.size() == 1 && scene.objects[0].width > 30) {
      ++isolated;
      standing_out += differ(ring_colour(scene.image, scene.objects[0], 0, 0.4),
                             ring_colour(scene.image, scene.objects[0], 1.1, 1.4));
    }
  }
  for (const int n : labels) CHECK(n > objects / 5);
  for (size_t n = 0; n <= 8; ++n) CHECK(counts[n] >= 2);
  CHECK(counts.size() == 9);
  CHECK(counts[0] < 20);
  CHECK(octaves[0] > objects / 10);
  CHECK(octaves[1] > objects / 4);
  CHECK(octaves[2] > objects / 4);
  CHECK(octaves[3] > objects / 100);
  CHECK(partly_hidden > objects / 20);
  CHECK(isolated > 20);
  CHECK(standing_out >= isolated * 9 / 10);
}

TEST_CASE("a drawn data set is a COCO data set, the same on any number of threads") {
  const TemporaryFolder one, two;
  const SynthOptions options{
      .train_images = 7, .val_images = 4, .width = 96, .height = 64, .classes = 5, .seed = 3};
  const int threads = num_threads();
  set_num_threads(1);
  synthesize_dataset(one / "new/set", options);
  set_num_threads(2);
  synthesize_dataset(two.path(), options);
  const auto files = contents(one / "new/set");
  CHECK(files == contents(two.path()));
  CHECK(files.size() == 7 + 4 + 2);
  synthesize_dataset(two.path(), options);  // over itself
  CHECK(files == contents(two.path()));
  set_num_threads(threads);

  std::set<int64_t> image_ids, annotation_ids;
  for (const auto& [split, count] : {std::pair("train", 7), std::pair("val", 4)}) {
    const json file = json::parse(files.at(fmt::format("annotations/instances_{}.json", split)));
    REQUIRE(file["categories"].size() == 5);
    CHECK(file["categories"][3]["id"] == 4);
    CHECK(file["categories"][3]["name"] == "triangle");
    REQUIRE(file["images"].size() == size_t(count));
    for (const json& entry : file["images"]) {
      image_ids.insert(entry["id"].get<int64_t>());
      const Image image =
          decode_image(files.at(fmt::format("{}/{}", split, entry["file_name"].get<std::string>())), "");
      CHECK(image.width == entry["width"]);
      CHECK(image.height == entry["height"]);
    }
    REQUIRE(!file["annotations"].empty());
    for (const json& entry : file["annotations"]) {
      annotation_ids.insert(entry["id"].get<int64_t>());
      CHECK(image_ids.contains(entry["image_id"].get<int64_t>()));
      CHECK((entry["category_id"] >= 1 && entry["category_id"] <= 5));
      CHECK(entry["iscrowd"] == 0);
      CHECK(entry["area"] > 0);
      const auto box = entry["bbox"].get<std::array<double, 4>>();
      CHECK((box[0] >= 0 && box[1] >= 0 && box[2] > 0 && box[3] > 0 && box[0] + box[2] <= 96 &&
             box[1] + box[3] <= 64));
    }
  }
  CHECK(image_ids.size() == 11);
  CHECK(*annotation_ids.rbegin() == int64_t(annotation_ids.size()));

  // The files match the scene, and validation images do not depend on the number of training images.
  Random random(3, 2);
  const DrawnScene third = draw_scene(96, 64, 5, random);
  const json train = json::parse(files.at("annotations/instances_train.json"));
  size_t seen = 0;
  for (const json& entry : train["annotations"])
    if (entry["image_id"] == 3) {
      REQUIRE(seen < third.objects.size());
      const Annotation& o = third.objects[seen++];
      CHECK(entry["bbox"] == json{o.x, o.y, o.width, o.height});
      CHECK(entry["category_id"] == o.label + 1);
    }
  CHECK(seen == third.objects.size());
  const TemporaryFolder three;
  SynthOptions smaller = options;
  smaller.train_images = 2;
  synthesize_dataset(three.path(), smaller);
  CHECK(read_file(three / "val/000003.jpg") == files.at("val/000008.jpg"));
  smaller.seed = 4;
  synthesize_dataset(three.path(), smaller);
  CHECK(read_file(three / "val/000003.jpg") != files.at("val/000008.jpg"));
}

TEST_CASE("drawing a data set refuses options out of range and folders in use") {
  const TemporaryFolder folder;
  const auto draw = [&](SynthOptions options) { synthesize_dataset(folder / "set", options); };
  CHECK_THROWS_WITH(draw({.train_images = 0}), Contains("train_images is 0: give 1 to"));
  CHECK_THROWS_WITH(draw({.val_images = -3}), Contains("val_images is -3: give 1 to"));
  CHECK_THROWS_WITH(draw({.width = 63}), Contains("width is 63: give 64 to 4096"));
  CHECK_THROWS_WITH(draw({.height = 5000}), Contains("height is 5000: give 64 to 4096"));
  CHECK_THROWS_WITH(draw({.classes = 2}), Contains("classes is 2: give 3 to 6"));
  CHECK_THROWS_WITH(draw({.classes = 7}), Contains("classes is 7: give 3 to 6"));
  CHECK_THROWS_WITH(synthesize_dataset("", {}), Contains("the name of the folder is empty"));
  CHECK(!std::filesystem::exists(folder / "set"));

  create_folder(folder / "set/train");
  write_file_atomically(folder / "set/train/000003.jpg", "of a larger data set");
  const SynthOptions options{.train_images = 2, .val_images = 1, .width = 64, .height = 64};
  CHECK_THROWS_WITH(draw(options), Contains("already holds train/000003.jpg"));
  CHECK(read_file(folder / "set/train/000003.jpg") == "of a larger data set");
  std::filesystem::rename(folder / "set/train/000003.jpg", folder / "set/train/000002.jpg.part");
  draw(options);  // the remains of an interrupted run are no obstacle
  CHECK(std::filesystem::exists(folder / "set/val/000003.jpg"));

  write_file_atomically(folder / "file", "");
  CHECK_THROWS_WITH(synthesize_dataset(folder / "file", options), Contains("/file cannot be read"));
  create_folder(folder / "blocked/val/000003.jpg");  // a folder where an image belongs
  CHECK_THROWS_WITH(synthesize_dataset(folder / "blocked", options),
                    Contains("000003.jpg cannot be written"));
}
