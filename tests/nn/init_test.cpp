#include "nn/init.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <functional>

#include "core/error.h"

using namespace fovea;
using Catch::Contains;

namespace {

struct Moments {
  double mean = 0, variance = 0, fourth = 0, largest = 0;  // fourth: E[(x - mean)^4] / variance^2
};

Moments moments(const Tensor& weights) {
  Moments m;
  const auto values = weights.values();
  const double n = double(values.size());
  for (double x : values) m.mean += x / n;
  for (double x : values) {
    m.variance += (x - m.mean) * (x - m.mean) / n;
    m.fourth += std::pow(x - m.mean, 4) / n;
    m.largest = std::max(m.largest, std::abs(x));
  }
  m.fourth /= m.variance * m.variance;
  return m;
}

// Over 100 000 weights the mean is within 0.01 deviations and the variance within 2 % (more than 3 standard
// errors); the fourth moment distinguishes a normal distribution (3) from a uniform one (1.8).
void check_moments(const Tensor& weights, double variance, double fourth) {
  REQUIRE(weights.numel() >= 100000);
  const Moments m = moments(weights);
  CHECK(m.mean == Approx(0).margin(0.012 * std::sqrt(variance)));
  CHECK(m.variance == Approx(variance).epsilon(0.02));
  CHECK(m.fourth == Approx(fourth).epsilon(0.05));
}

constexpr double normal_shape = 3, uniform_shape = 1.8;

}  // namespace

TEST_CASE("fan-out normal has variance 2 / fan_out, ignoring groups") {
  Random random(1);
  check_moments(init_fan_out_normal({3, 3, 64, 192}, random), 2.0 / (9 * 192), normal_shape);  // dense
  check_moments(init_fan_out_normal({256, 512}, random), 2.0 / 512, normal_shape);             // pointwise
  check_moments(init_fan_out_normal({5, 5, 4096}, random), 2.0 / 25, normal_shape);  // depthwise: C groups
}

TEST_CASE("fan-in normal has variance 1 / fan_in") {
  Random random(2);
  check_moments(init_fan_in_normal({3, 3, 64, 192}, random), 1.0 / (9 * 64), normal_shape);
  check_moments(init_fan_in_normal({256, 512}, random), 1.0 / 256, normal_shape);
  check_moments(init_fan_in_normal({3, 3, 12000}, random), 1.0 / 9, normal_shape);
}

TEST_CASE("Glorot uniform has variance 2 / (fan_in + fan_out) and keeps its limit") {
  Random random(3);
  const Tensor pointwise = init_glorot_uniform({256, 512}, random);
  check_moments(pointwise, 2.0 / (256 + 512), uniform_shape);
  CHECK(moments(pointwise).largest <= std::sqrt(6.0 / (256 + 512)) * (1 + 1e-6));
  CHECK(moments(pointwise).largest == Approx(std::sqrt(6.0 / (256 + 512))).epsilon(1e-3));
  check_moments(init_glorot_uniform({3, 3, 64, 192}, random), 2.0 / (9 * (64 + 192)), uniform_shape);
  // PyTorch's count for a depthwise weight [C, 1, 3, 3]: fan_in 9, fan_out 9 C.
  check_moments(init_glorot_uniform({3, 3, 12000}, random), 2.0 / (9 + 9 * 12000.0), uniform_shape);
}

TEST_CASE("fan-in and fan-out uniform are uniform within 1 / sqrt(fan)") {
  Random random(4);
  const auto check_uniform = [](const Tensor& weights, double fan) {
    check_moments(weights, 1.0 / (3 * fan), uniform_shape);
    CHECK(moments(weights).largest <= 1 / std::sqrt(fan) * (1 + 1e-6));
    CHECK(moments(weights).largest == Approx(1 / std::sqrt(fan)).epsilon(1e-3));
  };
  check_uniform(init_fan_in_uniform({1280, 100}, random), 1280);
  check_uniform(init_fan_in_uniform({3, 3, 64, 192}, random), 9 * 64);
  check_uniform(init_fan_out_uniform({1280, 100}, random), 100);
}

TEST_CASE("an initialiser is its function, and draws the same numbers for the same seed") {
  const std::function<Tensor(Shape, Random&)> functions[] = {init_fan_out_normal, init_fan_in_normal,
                                                             init_glorot_uniform, init_fan_in_uniform,
                                                             init_fan_out_uniform};
  const Init inits[] = {Init::fan_out_normal, Init::fan_in_normal, Init::glorot_uniform, Init::fan_in_uniform,
                        Init::fan_out_uniform};
  for (size_t i = 0; i < std::size(inits); ++i) {
    Random a(9), b(9), c(10);
    const auto expected = functions[i]({8, 24}, a).values();
    CHECK(initialize(inits[i], {8, 24}, b).values() == expected);
    CHECK(initialize(inits[i], {8, 24}, c).values() != expected);
  }
}

TEST_CASE("a weight of another rank is refused") {
  Random random(1);
  CHECK_THROWS_WITH(init_fan_in_normal({8}, random), Contains("[init]") && Contains("rank 2, 3 or 4, got 8"));
}
