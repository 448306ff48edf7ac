#include "core/tensor.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "core/dry_run.h"
#include "core/parallel.h"

using namespace fovea;

TEST_CASE("shapes count, index and print") {
  const Shape s{2, 3, 5};
  CHECK(s.numel() == 30);
  CHECK(s[-1] == 5);
  CHECK(s.without(1) == Shape{2, 5});
  CHECK(s.to_string() == "2x3x5");
  CHECK(Shape{}.numel() == 1);
  CHECK(Shape{0, 4}.numel() == 0);
  CHECK_THROWS_WITH(s[3], Catch::Contains("2x3x5 has no axis 3"));
  CHECK_THROWS_WITH((Shape{1, -1}), Catch::Contains("negative"));
}

TEST_CASE("bfloat16 rounds to nearest even and keeps NaN and infinity") {
  CHECK(float(bfloat16(1.0f)) == 1.0f);
  CHECK(float(bfloat16(1.00390625f)) == 1.0f);       // halfway between 1 and 1 + 2^-7: to even
  CHECK(float(bfloat16(1.01171875f)) == 1.015625f);  // halfway, the lower neighbour is odd: up
  CHECK(std::isnan(float(bfloat16(NAN))));
  CHECK(float(bfloat16(INFINITY)) == INFINITY);
  CHECK(float(bfloat16(3.4e38f)) == INFINITY);
}

TEST_CASE("reading a tensor as the wrong type, or no tensor, says so") {
  const Tensor x = zeros({2}, DType::int32);
  CHECK_THROWS_WITH(x.data<float>(), Catch::Contains("int32") && Catch::Contains("float32"));
  CHECK_THROWS_WITH(Tensor().shape(), Catch::Contains("undefined tensor"));
  CHECK_THROWS_WITH(x.item(), Catch::Contains("exactly one"));
}

TEST_CASE("numbers travel to the CUDA device and back") {
  Random random(5);
  const Tensor x = randn({3, 7}, random), there = x.to(Device::cuda);
  CHECK(there.device() == Device::cuda);
  CHECK(there.to(Device::cuda).raw() == there.raw());
  CHECK(there.values() == x.values());
  CHECK(there.clone().to(Device::cpu).values() == x.values());
  CHECK(full({5}, 2.5, DType::bfloat16, Device::cuda).values() == std::vector<double>(5, 2.5));
  CHECK(full({}, 7, DType::int32, Device::cuda).item() == 7);
}

TEST_CASE(
    "random numbers made on either device are the same bits, of any size and on any number of threads") {
  const int threads = num_threads();
  for (const int64_t n : {0, 1, 7, 1000003}) {
    set_num_threads(1);
    const Tensor x = randn({n}, 11, DType::float32, Device::cpu);
    for (const DType dtype : {DType::float32, DType::float64, DType::bfloat16}) {
      const std::vector<double> rounded = from_values({n}, x.values(), dtype).values();
      for (const int count : {1, 2, 3}) {
        set_num_threads(count);
        CHECK((randn({n}, 11, dtype, Device::cpu).values() == rounded));  // a million numbers: do not print
      }
      const Tensor there = randn({n}, 11, dtype, Device::cuda);
      CHECK(there.device() == Device::cuda);
      CHECK((there.values() == rounded));
    }
  }
  set_num_threads(threads);
  // A larger tensor continues a smaller one; another key or step gives others.
  const auto numbers = [](int64_t n, RandomKey key) {
    return randn({n}, key, DType::float32, Device::cpu).values();
  };
  std::vector<double> longer = numbers(20, 11);
  longer.resize(9);
  const int64_t step = 1;
  CHECK(longer == numbers(9, 11));
  CHECK(longer != numbers(9, 12));
  CHECK(longer != numbers(9, {11, &step}));
  CHECK_THROWS_WITH(randn({2}, 11, DType::int32, Device::cpu),
                    "[randn] cannot draw normal numbers in int32: choose a floating dtype");
  const DryRun dry_run;
  CHECK(randn({1 << 20, 1 << 20}, 11, DType::float32, Device::cuda).bytes() == int64_t(4) << 40);
}

TEST_CASE("uniform numbers made on either device are the same bits") {
  for (const int64_t n : {0, 1, 7, 100003}) {
    const Tensor x = rand({n}, 11, -2, 3, DType::float32, Device::cpu);
    double mean = 0;
    for (const double value : x.values()) {
      REQUIRE((value >= -2 && value <= 3));
      mean += value / double(n);
    }
    if (n > 1000) CHECK(mean == Approx(0.5).margin(0.02));
    for (const DType dtype : {DType::float32, DType::float64, DType::bfloat16}) {
      const std::vector<double> rounded = from_values({n}, x.values(), dtype).values();
      for (const Device device : {Device::cpu, Device::cuda}) {
        const Tensor y = rand({n}, 11, -2, 3, dtype, device);
        CHECK(y.device() == device);
        CHECK((y.values() == rounded));
      }
    }
  }
  CHECK(rand({9}, 11, 0, 1, DType::float32, Device::cpu).values() !=
        rand({9}, 12, 0, 1, DType::float32, Device::cpu).values());
  CHECK_THROWS_WITH(rand({2}, 11, 0, 1, DType::uint8, Device::cuda),
                    "[rand] cannot draw uniform numbers in uint8: choose a floating dtype");
}

TEST_CASE("a tensor filled on its device takes one key of the stream, whatever its shape") {
  for (const Device device : {Device::cpu, Device::cuda}) {
    Random random(5), keys(5);
    CHECK(randn({3, 7}, random, DType::float32, device).values() ==
          randn({3, 7}, keys.next_random_key(), DType::float32, Device::cpu).values());
    CHECK(rand({1000}, random, 2, 4, DType::float64, device).values() ==
          rand({1000}, keys.next_random_key(), 2, 4, DType::float64, Device::cpu).values());
    CHECK(random.position() == keys.position());
    CHECK(randn({2}, random, DType::float32, device).device() == device);
  }
}

TEST_CASE("a tensor is made of numbers of any dtype, whole") {
  const std::vector<int64_t> large = {(int64_t(1) << 53) + 1, -1, 3, 4};
  const Tensor x = from_span<int64_t>({2, 2}, large);
  CHECK(x.dtype() == DType::int64);
  CHECK(std::equal(large.begin(), large.end(), x.data<int64_t>()));
  CHECK(x.to(Device::cuda).to(Device::cpu).data<int64_t>()[0] == large[0]);
  const std::vector<uint8_t> bytes = {0, 255};
  CHECK(from_span<uint8_t>({2}, bytes).values() == std::vector<double>{0, 255});
  CHECK(from_span<float>({}, std::vector<float>{1.5f}).item() == 1.5);
  CHECK(from_span<bfloat16>({0}, {}).numel() == 0);
  CHECK_THROWS_WITH(from_span<int64_t>({3}, large), "[from_span] 4 values for a tensor of 3");
}

TEST_CASE("int64 tensors are filled, but have no gradient and no random numbers") {
  for (const Device device : {Device::cpu, Device::cuda}) {
    CHECK(full({3}, 1e15, DType::int64, device).values() == std::vector<double>(3, 1e15));
    CHECK(zeros({2}, DType::int64, device).values() == std::vector<double>{0, 0});
    CHECK_THROWS_WITH(zeros({2}, DType::int64, device).set_requires_grad(),
                      "[set_requires_grad] a int64 tensor has no gradient");
    CHECK_THROWS_WITH(randn({2}, 11, DType::int64, device), Catch::Contains("draw normal numbers in int64"));
  }
  CHECK(from_values({2}, {-7, 1e15}, DType::int64).values() == std::vector<double>{-7, 1e15});
}

TEST_CASE("copies share numbers, clones do not") {
  const Tensor x = full({3}, 2);
  const Tensor same = x;  // NOLINT(performance-unnecessary-copy-initialization): it is what is tested
  const Tensor copy = x.clone();
  x.fill(5);
  CHECK(same.values() == std::vector<double>{5, 5, 5});
  CHECK(copy.values() == std::vector<double>{2, 2, 2});
}

TEST_CASE("memory in use and its peak are counted") {
  reset_peak_memory();
  const int64_t before = memory_use().current;
  {
    const Tensor x({1000, 1000});
    CHECK(memory_use().current >= before + 4000000);
  }
  CHECK(memory_use().current == before);
  CHECK(memory_use().peak >= before + 4000000);
}
