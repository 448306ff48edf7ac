// Networks in bytes: the products against exact integers, and a small detector against its float32 self.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <string>

#include "core/autograd.h"
#include "core/parallel.h"
#include "core/random.h"
#include "models/efficientdet.h"
#include "models/quantization/quantized_network.h"
#include "ops/arithmetic.h"
#include "ops/shape_ops.h"
#include "tests/models/byte_loops.h"
#include "tests/support/error_of.h"

using namespace fovea;

std::vector<uint8_t> portable_bytes_of_all_loops();  // portable_byte_loops.cpp

namespace {

std::vector<uint8_t> random_bytes(int64_t count, Random& random) {
  std::vector<uint8_t> bytes;
  for (int64_t i = 0; i < count; ++i) bytes.push_back(uint8_t(random.uniform() * 256));
  return bytes;
}

std::vector<int8_t> random_weights(int64_t count, Random& random) {
  std::vector<int8_t> weights;
  for (const uint8_t byte : random_bytes(count, random))
    weights.push_back(int8_t(std::max(-127, int(byte) - 128)));
  return weights;
}

QuantizedNetwork::Forward forward_of(const EfficientDet& model) {
  return [&](const Tensor& images) -> Tensors {
    const DetectorOutput output = model.outputs(images);
    return {output.class_logits, output.box_codes};
  };
}

// The largest difference, in parts of the largest number.
double difference(const Tensor& a, const Tensor& b) {
  double largest = 0, scale = 0;
  for (int64_t i = 0; i < a.numel(); ++i) {
    largest = std::max(largest, double(std::abs(a.data<float>()[i] - b.data<float>()[i])));
    scale = std::max(scale, double(std::abs(b.data<float>()[i])));
  }
  return largest / scale;
}

struct SmallDetector {
  Random random{3};
  EfficientDet model{efficientdet_spec("efficientdet_d-3"), 2, random};
  Tensor images = randn({2, 64, 96, 3}, random);
  SmallDetector() { model.set_training(false); }

  QuantizedNetwork quantized() const {
    QuantizedNetwork network(forward_of(model), 64, 96);
    for (int64_t i = 0; i < 2; ++i) network.calibrate(slice(images, 0, i, i + 1));
    network.quantize();
    return network;
  }
};

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.values() == b.values();
}

}  // namespace

TEST_CASE("a byte stands for a number by scale and zero, and 0 is one of them") {
  const ByteScale scale = ByteScale::of_range(-1, 3);
  CHECK(scale.number(scale.zero) == 0);
  CHECK(scale.byte(0) == scale.zero);
  CHECK(scale.byte(-1) == 0);
  CHECK(scale.byte(3) == 255);
  CHECK(scale.byte(100) == 255);
  CHECK(scale.byte(-100) == 0);
  for (int byte = 0; byte < 256; ++byte) CHECK(scale.byte(scale.number(byte)) == byte);
  CHECK(ByteScale::of_range(2, 3).zero == 0);  // 0 belongs to every range
  CHECK(ByteScale::of_range(-3, -2).zero == 255);
  CHECK(ByteScale::of_range(0, 0).byte(0) == 0);  // a tensor of zeros
}

// sum * factor to the nearest byte above `zero`, a half to the even neighbour.
uint8_t expected_byte(int64_t sum, double factor, int zero) {
  return uint8_t(std::clamp(std::nearbyint(double(sum) * factor) + zero, 0., 255.));
}

TEST_CASE("a convolution of bytes is that of integers, exactly, for odd shapes") {
  Random random(1);
  for (const Window window : {Window{1, 1}, Window{1, 2}, Window{3, 2}, Window{3, 1, Padding::symmetric}})
    for (const int64_t inputs : {1, 3, 4, 27, 129})
      for (const int64_t outputs : {1, 15, 33, 72, 130}) {
        const int64_t images = 2, height = 9, width = 7, k = window.kernel;
        const int zero = int(inputs * 7 + outputs) % 256;
        const std::vector<int8_t> w = random_weights(k * k * inputs * outputs, random);
        const std::vector<uint8_t> x = random_bytes(images * height * width * inputs, random);
        ByteOutput output{std::vector<float>(size_t(outputs), 1), std::vector<int32_t>(size_t(outputs), -3)};
        const int64_t rows = window.output_size(height), columns = window.output_size(width);
        std::vector<float> y(size_t(images * rows * columns * outputs));
        ByteConv2d(w, inputs, outputs, window, zero, output)(x.data(), images, height, width, {}, y.data());
        for (float& factor : output.factor) factor = 1.f / 1024;
        output.zero = 100;
        std::vector<uint8_t> bytes(y.size());
        ByteConv2d(w, inputs, outputs, window, zero, output)(x.data(), images, height, width, {},
                                                             bytes.data());
        size_t wrong = 0;
        for (int64_t i = 0; i < int64_t(y.size()); ++i) {
          const int64_t o = i % outputs, q = i / outputs % columns, p = i / outputs / columns % rows;
          const int64_t n = i / outputs / columns / rows;
          int32_t sum = -3;
          for (int64_t a = 0; a < k; ++a)
            for (int64_t b = 0; b < k; ++b) {
              const int64_t row = p * window.stride - window.pad_before(height) + a,
                            column = q * window.stride - window.pad_before(width) + b;
              if (row < 0 || row >= height || column < 0 || column >= width) continue;
              for (int64_t c = 0; c < inputs; ++c)
                sum += (int32_t(x[size_t(((n * height + row) * width + column) * inputs + c)]) - zero) *
                       w[size_t(((a * k + b) * inputs + c) * outputs + o)];
            }
          wrong += y[size_t(i)] != float(sum);
          wrong += bytes[size_t(i)] != expected_byte(sum, 1. / 1024, 100);
        }
        INFO(inputs << " inputs, " << outputs << " outputs, kernel " << k << ", stride " << window.stride);
        CHECK(wrong == 0);
      }
}

TEST_CASE("sums of bytes saturate in neither direction before they are scaled") {
  // 255 * 127 * 2 does not fit 16 bits: what instructions without VNNI make of pairs.
  for (const int sign : {-1, 1}) {
    const std::vector<int8_t> w(128, int8_t(sign * 127));
    const std::vector<uint8_t> x(128, 255);
    const ByteConv2d conv(w, 128, 1, {1, 1}, 0, {{1}, {}, 7});
    float y = 0;
    conv(x.data(), 1, 1, 1, {}, &y);
    CHECK(y == float(sign * 128 * 255 * 127));
    uint8_t byte = 7;
    conv(x.data(), 1, 1, 1, {}, &byte);
    CHECK(int(byte) == (sign > 0 ? 255 : 0));
    ByteConv2d(w, 128, 1, {1, 1}, 0, {{1e8f}, {}, 7})(x.data(), 1, 1, 1, {}, &byte);  // beyond 2^31
    CHECK(int(byte) == (sign > 0 ? 255 : 0));
  }
}

TEST_CASE("a gate scales the channels of each image before a 1x1 convolution") {
  const std::vector<int8_t> one{1, 0, 0, 1};
  const std::vector<float> first{0.5f, 2}, second{1, 0};
  const std::vector<ByteGate> gates{{first, 10, 20}, {second, 10, 20}};
  const std::vector<uint8_t> x{10, 10, 13, 11, 12, 200, 9, 5};  // two images of two pixels
  std::vector<uint8_t> y(8);
  ByteConv2d(one, 2, 2, {1, 1}, 20, {{1, 1}, {}, 20})(x.data(), 2, 1, 2, gates, y.data());
  CHECK(y == std::vector<uint8_t>{20, 20, 22, 22, 22, 20, 19, 20});  // 1.5 becomes 2
}

TEST_CASE("a depthwise convolution of bytes is that of integers, exactly, and sums its channels") {
  Random random(2);
  for (const int64_t channels : {1, 16, 40, 64, 72, 130, 336})
    for (const Window window : {Window{3, 1}, Window{3, 2}, Window{5, 1}, Window{5, 2, Padding::symmetric}}) {
      const int64_t height = 9, width = 7, k = window.kernel, zero = 31;
      const std::vector<int8_t> w = random_weights(k * k * channels, random);
      const std::vector<uint8_t> x = random_bytes(2 * height * width * channels, random);
      const int64_t rows = window.output_size(height), columns = window.output_size(width);
      ByteOutput output{std::vector<float>(size_t(channels), 1.f / 512), {}, 128};
      for (int64_t c = 0; c < channels; ++c) output.bias.push_back(int32_t(c * 50));
      std::vector<uint8_t> y(size_t(2 * rows * columns * channels));
      std::vector<int32_t> sums(size_t(2 * channels));
      ByteDepthwise(w, channels, window, int(zero), output)(x.data(), 2, height, width, y.data(),
                                                            sums.data());
      size_t wrong = 0;
      for (int64_t i = 0; i < int64_t(y.size()); ++i) {
        const int64_t c = i % channels, column = i / channels % columns, row = i / channels / columns % rows;
        const int64_t n = i / channels / columns / rows;
        int32_t sum = output.bias[size_t(c)];
        for (int64_t a = 0; a < k; ++a)
          for (int64_t b = 0; b < k; ++b) {
            const int64_t p = row * window.stride - window.pad_before(height) + a,
                          q = column * window.stride - window.pad_before(width) + b;
            if (p < 0 || p >= height || q < 0 || q >= width) continue;
            sum += (int32_t(x[size_t(((n * height + p) * width + q) * channels + c)]) - int32_t(zero)) *
                   w[size_t((a * k + b) * channels + c)];
          }
        wrong += y[size_t(i)] != expected_byte(sum, 1. / 512, 128);
        sums[size_t(n * channels + c)] -= y[size_t(i)];
      }
      INFO(channels << " channels, kernel " << k << ", stride " << window.stride);
      CHECK(wrong == 0);
      CHECK(std::all_of(sums.begin(), sums.end(), [](int32_t left) { return left == 0; }));
    }
}

TEST_CASE("bytes are looked up and pooled, at the image's edges too") {
  std::vector<uint8_t> table, bytes;
  for (int i = 0; i < 256; ++i) table.push_back(uint8_t(255 - i)), bytes.push_back(uint8_t(i));
  bytes.resize(300, 7);
  look_up(table, bytes.data(), int64_t(bytes.size()));
  for (int i = 0; i < 300; ++i) CHECK(int(bytes[size_t(i)]) == (i < 256 ? 255 - i : 248));
  const std::vector<uint8_t> x{1, 2, 3, 4, 5, 6, 7, 8, 9};
  std::vector<uint8_t> y(4);
  for (int i = 0; i < 2; ++i) byte_max_pool_row(x.data(), 3, 3, 1, {3, 2}, {3, 2}, i, y.data() + 2 * i);
  CHECK(y == std::vector<uint8_t>{5, 6, 8, 9});
}

TEST_CASE("halves are rounded to the even neighbour, and what is beyond a byte becomes its end") {
  const std::vector<float> x{0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 1e9f, -1e9f, 3.4e38f, -3.4e38f, 200, -4};
  std::vector<uint8_t> y(x.size());
  to_bytes(x.data(), int64_t(x.size()), 1, 3, y.data());
  CHECK(y == std::vector<uint8_t>{3, 5, 5, 3, 1, 255, 0, 255, 0, 203, 0});
  const std::vector<uint8_t> a{10, 11, 255}, b{0, 1, 255};
  weighted_sum(std::vector{a.data(), b.data()}, std::vector{10, 0}, std::vector{0.5f, 1.f}, 3, 3, y.data());
  CHECK(std::vector(y.begin(), y.begin() + 3) == std::vector<uint8_t>{3, 5, 255});  // 1.5 + 3 becomes 5
}

TEST_CASE("the loops for any processor give the bytes of those for this one") {
  const std::vector<uint8_t> here = bytes_of_all_loops();
  CHECK(here.size() > 100'000);
  CHECK(here == portable_bytes_of_all_loops());
}

TEST_CASE(
    "a small detector in bytes computes nearly what it does in float32, with the same bits on 1 and 2 "
    "threads") {
  const SmallDetector small;
  const NoGrad no_grad;
  const QuantizedNetwork network = small.quantized();
  const Tensors bytes = network.outputs(small.images), floats = forward_of(small.model)(small.images);
  for (size_t i = 0; i < 2; ++i) {
    REQUIRE(bytes[i].shape() == floats[i].shape());
    CHECK(difference(bytes[i], floats[i]) < 0.1);
  }
  const int threads = num_threads();
  for (const int count : {1, 2}) {
    set_num_threads(count);
    const Tensors again = network.outputs(small.images);
    for (size_t i = 0; i < 2; ++i) CHECK(same_bits(again[i], bytes[i]));
  }
  set_num_threads(threads);
  const Tensors one = network.outputs(slice(small.images, 0, 1, 2));  // an image does not depend on its batch
  CHECK(same_bits(one[0], slice(bytes[0], 0, 1, 2)));
}

TEST_CASE("a quantised network is its tensors") {
  const SmallDetector small;
  const QuantizedNetwork network = small.quantized();
  Random random(99);
  EfficientDet other(efficientdet_spec("efficientdet_d-3"), 2, random);
  other.set_training(false);
  QuantizedNetwork copy(forward_of(other), 64, 96);
  CHECK(error_of([&] { copy.outputs(small.images); }) ==
        "[quantize] the network is not quantised yet: calibrate it on images");
  CHECK(error_of([&] { copy.quantize(); }) == "[quantize] give at least one image to calibrate on");
  copy.expect_tensors();
  const auto from = network.tensors(), to = copy.tensors();
  REQUIRE(from.size() == to.size());
  for (size_t i = 0; i < from.size(); ++i) {
    CHECK(from[i].name == to[i].name);
    to[i].tensor.copy_from(from[i].tensor);
  }
  copy.prepare();
  const Tensors a = network.outputs(small.images), b = copy.outputs(small.images);
  CHECK(same_bits(a[0], b[0]));
  CHECK(same_bits(a[1], b[1]));
  to[0].tensor.data<float>()[5] = NAN;
  CHECK(error_of([&] { copy.prepare(); }) == "[quantize] ranges has numbers that are not finite");
  CHECK(error_of([&] {
          network.outputs(zeros({1, 32, 96, 3}));
        }) == "[quantize] the images are 1x32x96x3: this network was quantised for Nx64x96x3 on the CPU");
}

TEST_CASE("what cannot be computed in bytes is named") {
  const QuantizedNetwork::Forward divides = [](const Tensor& x) -> Tensors { return {1.0 / x}; };
  CHECK(error_of([&] {
          QuantizedNetwork(divides, 4, 4);
        }).starts_with("[quantize] divide is not computed in bytes"));
  SmallDetector small;
  small.model.set_training(true);
  CHECK(error_of([&] { QuantizedNetwork(forward_of(small.model), 64, 96); }).starts_with("[quantize]"));
}
