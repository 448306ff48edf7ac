// Compares the input of a network on CUDA, which a kernel makes from the images' bytes, with the CPU's.
#include "train/data/augment/input_image.h"

#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <functional>

#include "core/random.h"
#include "cuda/runtime/device.h"
#include "train/data/augment/augment.h"

using namespace fovea;
using Catch::Contains;

namespace {

Image noise(int width, int height) {
  Image image(width, height);
  Random random(uint64_t(1000 * width + height));
  for (uint8_t& value : image.pixels) value = uint8_t(random.below(256));
  return image;
}

// Two images of height x width, each drawn by draw(index, input).
using Draw = std::function<void(int64_t index, const InputImage& input)>;

void check_parity(int height, int width, const Draw& draw, const Normalization& normalization = {}) {
  CAPTURE(height, width);
  const InputBatch expected({2, height, width, 3}, DType::float32, Device::cpu, normalization);
  for (const DType dtype : {DType::float32, DType::bfloat16}) {
    const InputBatch packed({2, height, width, 3}, dtype, Device::cuda, normalization);
    for (int64_t i = 0; i < 2; ++i) {
      draw(i, expected.image(i));
      draw(i, packed.image(i));
    }
    const double tolerance = dtype == DType::float32 ? 2e-6 : 1 / 256.0;
    const std::vector<double> values = expected.pixels.values();
    for (const auto order :
         {cuda::ThreadOrder::forward, cuda::ThreadOrder::reverse, cuda::ThreadOrder::shuffled}) {
      cuda::set_thread_order(order);
      const std::vector<double> found = packed.on_device().to(Device::cpu).values();
      REQUIRE(found.size() == values.size());
      double most = 0;
      bool padding = true;  // is 0
      for (size_t i = 0; i < found.size(); ++i) {
        most = std::max(most, std::abs(found[i] - values[i]) / std::max(1.0, std::abs(values[i])));
        padding = padding && (found[i] == 0) == (values[i] == 0);
      }
      CHECK(most <= tolerance);
      CHECK(padding);
    }
    cuda::set_thread_order(cuda::ThreadOrder::forward);
  }
}

}  // namespace

TEST_CASE("the device prepares images for evaluation as the CPU does, whatever their sizes") {
  for (const auto& [width, height] : std::vector<std::pair<int, int>>{
           {37, 23}, {23, 37}, {1, 1}, {1, 90}, {64, 48}, {200, 150} /* travels as float32 */}) {
    const Image image = noise(width, height), other = noise(16, 17);
    for (const auto& [h, w] : std::vector<std::pair<int, int>>{{16, 16}, {33, 15}, {1, 2}}) {
      CAPTURE(width, height);
      check_parity(h, w, [&](int64_t i, const InputImage& input) {
        prepare_for_evaluation(i ? image : other, {}, h, w, input);
      });
    }
  }
}

TEST_CASE("the device flips, scales, crops and changes the colours of images as the CPU does") {
  const std::vector<Annotation> objects{{3, 4, 20, 10, 200, 0, false, false}};
  const AugmentOptions options{.vertical_flip = true,
                               .crop = 0.5,
                               .rotate = 30,
                               .random_erasing = 0.5,
                               .colours = {0.4, 0.4, 0.4, 0.1}};
  for (uint64_t seed = 0; seed < 12; ++seed) {
    const Image image = noise(53, 31), other = noise(19, 40);
    CAPTURE(seed);
    check_parity(21, 27, [&](int64_t i, const InputImage& input) {
      Random random(seed, uint64_t(i));
      prepare_for_training(i ? image : other, objects, 21, 27, options, random, input);
    });
    const std::array<AnnotatedImage, 4> four{{{&image, {}}, {&other, {}}, {&other, {}}, {&image, {}}}};
    check_parity(19, 23, [&](int64_t i, const InputImage& input) {
      Random random(seed, uint64_t(i));
      prepare_mosaic(four, 19, 23, options, random, input);
    });
    check_parity(17, 17, [&](int64_t i, const InputImage& input) {
      Random random(seed, uint64_t(i));
      prepare_for_classification(i ? image : other, 17, {true, true, options.colours, 20, 0.5}, random,
                                 input);
    });
  }
}

TEST_CASE(
    "an image travels as its bytes, of which only the part that is read, or as float32 if that is less") {
  const auto used = [](const Image& image, double scale) {
    PackedImages packed({1, 32, 32, 3}, DType::bfloat16);
    const int64_t before = packed.used();
    Random random(1);
    prepare_for_training(image, {}, 32, 32, {.scale_min = scale, .scale_max = scale}, random,
                         InputImage(packed, 0));
    CHECK(packed.used() <= packed.bytes().numel());
    return packed.used() - before;
  };
  const int64_t filters = 2 * 32 * 4 * 4 + 5 * 16;  // three weights and an index a pixel
  CHECK(used(noise(40, 40), 1) >= 40 * 40 * 3);
  CHECK(used(noise(40, 40), 1) <= 40 * 40 * 3 + filters);
  CHECK(used(noise(40, 40), 2) <= 22 * 22 * 3 + filters);
  CHECK(used(noise(400, 400), 1) == 32 * 32 * 3 * 4);
}

TEST_CASE("an entry of packed images of another size than is drawn is refused") {
  PackedImages packed({1, 8, 8, 3}, DType::float32);
  CHECK_THROWS_WITH(prepare_for_evaluation(noise(4, 4), {}, 8, 9, InputImage(packed, 0)),
                    Contains("[augment] the output is 9 x 8 pixels of a batch of 1x8x8x3"));
}

TEST_CASE("images are normalised for their network, on either device") {
  const Image image = noise(9, 9);
  const Draw draw = [&](int64_t, const InputImage& input) { prepare_for_classification(image, 9, input); };
  check_parity(9, 9, draw, lite_normalization);

  Image flat(8, 8);
  for (size_t i = 0; i < flat.pixels.size(); ++i) flat.pixels[i] = std::array<uint8_t, 3>{0, 127, 255}[i % 3];
  const InputBatch lite({1, 8, 8, 3}, DType::float32, Device::cpu, lite_normalization);
  prepare_for_evaluation(flat, {}, 8, 8, lite.image(0));
  const std::vector<double> values = lite.pixels.values();
  CHECK(values[0] == Approx(-127 / 128.0));
  CHECK(values[1] == Approx(0).margin(1e-6));
  CHECK(values[2] == Approx(1));
  CHECK(image_of(lite.pixels.span<float>(), 8, 8, lite_normalization).pixels == flat.pixels);
}
