#include "train/data/sampler.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "core/error.h"

using namespace fovea;
using Catch::Contains;

namespace {

Sampler sampler_of(const std::vector<double>& repeats, uint64_t seed = 5) {
  return Sampler(
      int64_t(repeats.size()), [seed](int64_t epoch) { return Random(seed, uint64_t(epoch)); }, repeats);
}

}  // namespace

TEST_CASE("repeat factors by hand") {
  // Of 8 images class 0 is in all, class 1 in two, class 2 in one; the threshold is a half.
  const std::vector<std::vector<int>> labels{{0, 0, 0}, {0, 1}, {1, 0, 1}, {0, 2}, {0}, {0}, {0}, {0}};
  const auto factors = repeat_factors(labels, 0.5);
  const double sqrt2 = std::sqrt(0.5 / 0.25), two = std::sqrt(0.5 / 0.125);
  const std::vector<double> expected{1, sqrt2, sqrt2, two, 1, 1, 1, 1};
  REQUIRE(factors.size() == 8);
  for (size_t i = 0; i < 8; ++i) CHECK(factors[i] == Approx(expected[i]).epsilon(1e-12));
  CHECK(repeat_factors({{}, {3}}, 1) == std::vector<double>{1, std::sqrt(2.0)});  // an image without objects
  CHECK(repeat_factors(labels, 0.1) == std::vector<double>(8, 1));                // no class is that rare
  CHECK_THROWS_WITH(repeat_factors(labels, 0), Contains("the threshold is 0"));
  CHECK_THROWS_WITH(repeat_factors(labels, 1.5), Contains("the threshold is 1.5"));
}

TEST_CASE("an image appears as often as its factor, rounded up or down in each epoch") {
  const std::vector<double> repeats{1, 2.5, 1, 1.25, 3, 1};  // 9.75
  const Sampler sampler = sampler_of(repeats);
  REQUIRE(sampler.samples_per_epoch() == 10);
  std::vector<int64_t> total(6);
  constexpr int epochs = 2000;
  for (int epoch = 0; epoch < epochs; ++epoch) {
    std::vector<int64_t> seen(6);
    for (const int64_t image : sampler.images(epoch * 10, 10)) ++seen[size_t(image)];
    for (size_t i = 0; i < 6; ++i) {
      const double factor = repeats[i] * 10 / 9.75;  // an epoch is whole
      REQUIRE(seen[i] >= int64_t(std::floor(factor)));
      REQUIRE(seen[i] <= int64_t(std::ceil(factor)));
      total[i] += seen[i];
    }
  }
  // One random number decides the epoch, so shares are off by less than 3 standard deviations of a coin.
  for (size_t i = 0; i < 6; ++i)
    CHECK(double(total[i]) / epochs == Approx(repeats[i] * 10 / 9.75).margin(1.5 / std::sqrt(epochs)));
}

TEST_CASE("any stretch of the samples is the same as the whole, so that a training can be resumed") {
  const Sampler sampler = sampler_of({1, 2.5, 1, 1.25, 3, 1});
  const auto whole = sampler.images(0, 100);
  for (const int64_t first : {0, 3, 10, 57})
    CHECK(sampler.images(first, 17) ==
          std::vector<int64_t>(whole.begin() + first, whole.begin() + first + 17));
  CHECK(sampler_of({1, 2.5, 1, 1.25, 3, 1}, 6).images(0, 100) != whole);
}

TEST_CASE("factors of 1 change nothing, not even the order") {
  const Sampler without(7, [](int64_t epoch) { return Random(5, uint64_t(epoch)); });
  CHECK(sampler_of(std::vector<double>(7, 1)).images(0, 50) == without.images(0, 50));
}

TEST_CASE("any image is drawn in proportion to its factor") {
  const Sampler sampler = sampler_of({1, 3, 2});
  Random random(1);
  std::vector<int64_t> seen(3);
  for (int i = 0; i < 6000; ++i) ++seen[size_t(sampler.any(random))];
  CHECK(double(seen[0]) == Approx(1000).margin(100));
  CHECK(double(seen[1]) == Approx(3000).margin(120));
  CHECK(double(seen[2]) == Approx(2000).margin(120));
  const Sampler without(3, [](int64_t epoch) { return Random(5, uint64_t(epoch)); });
  std::vector<int64_t> equal(3);
  for (int i = 0; i < 6000; ++i) ++equal[size_t(without.any(random))];
  for (const int64_t n : equal) CHECK(double(n) == Approx(2000).margin(120));
}

TEST_CASE("factors that make no sense are refused") {
  CHECK_THROWS_WITH(sampler_of({1, 0.5}), Contains("a repeat factor is 0.5"));
  CHECK_THROWS_WITH(sampler_of({1, NAN}), Contains("a repeat factor is nan"));
  const auto order = [](int64_t) { return Random(1); };
  CHECK_THROWS_WITH(Sampler(3, order, {1, 1}), Contains("3 images and 2 repeat factors"));
  CHECK_THROWS_WITH(Sampler(0, order), Contains("no image to draw from"));
}
