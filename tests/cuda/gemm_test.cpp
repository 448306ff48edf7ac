#include "cuda/kernels/gemm.h"

#include <catch2/catch.hpp>
#include <vector>

#include "cuda/runtime/counters.h"
#include "cuda/runtime/memory.h"

using namespace fovea;
using Catch::Contains;

namespace {

template <class T>
class OnDevice {
 public:
  explicit OnDevice(const std::vector<double>& values) : size_(values.size()), memory_(int64_t(size_)) {
    std::vector<T> converted;
    for (const double value : values) converted.push_back(T(Accumulator<T>(value)));
    cuda::copy_to_device(memory_.data(), converted.data(), size_ * sizeof(T));
  }
  T* data() const { return memory_.data(); }
  std::vector<double> values() const {
    std::vector<T> stored(size_);
    cuda::copy_to_host(stored.data(), memory_.data(), size_ * sizeof(T));
    std::vector<double> result;
    for (const T value : stored) result.push_back(double(Accumulator<T>(value)));
    return result;
  }

 private:
  size_t size_;
  cuda::Workspace<T> memory_;
};

template <class T>
const T* no_bias() {
  return nullptr;
}

}  // namespace

TEMPLATE_TEST_CASE("matrix products by hand, with a bias of their output's type", "", float, double,
                   bfloat16) {
  using T = TestType;
  const OnDevice<T> a({1, 2, 3, 4, 5, 6}), b({1, 0, 0, 1, 1, 1}), bias({10, 20}), c({0, 0, 0, 0});
  cuda::gemm<T>(2, 2, 3, a.data(), b.data(), no_bias<T>(), c.data());
  CHECK(c.values() == std::vector<double>{4, 5, 10, 11});
  cuda::gemm<T>(2, 2, 3, a.data(), b.data(), bias.data(), c.data());
  CHECK(c.values() == std::vector<double>{14, 25, 20, 31});
  cuda::gemm_nt<T>(2, 2, 3, a.data(), b.data(), c.data(), false);  // b is (1 0 0), (1 1 1)
  CHECK(c.values() == std::vector<double>{1, 6, 4, 15});
  cuda::gemm_nt<T>(2, 2, 3, a.data(), b.data(), c.data(), true);
  CHECK(c.values() == std::vector<double>{2, 12, 8, 30});
  const OnDevice<Accumulator<T>> sums({0, 0, 0, 0, 0, 0, 0, 0, 0});
  cuda::gemm_tn<T>(3, 3, 2, a.data(), a.data(), sums.data());
  CHECK(sums.values() == std::vector<double>{17, 22, 27, 22, 29, 36, 27, 36, 45});
}

TEMPLATE_TEST_CASE("an empty sum is zero, or the bias", "", float, double, bfloat16) {
  using T = TestType;
  const OnDevice<T> none({0}), bias({10, 20}), c({7, 7, 7, 7});
  cuda::gemm<T>(2, 2, 0, none.data(), none.data(), bias.data(), c.data());
  CHECK(c.values() == std::vector<double>{10, 20, 10, 20});
  cuda::gemm<T>(2, 2, 0, none.data(), none.data(), no_bias<T>(), c.data());
  CHECK(c.values() == std::vector<double>{0, 0, 0, 0});
  const OnDevice<T> d({7, 7});
  cuda::gemm_nt<T>(1, 2, 0, none.data(), none.data(), d.data(), true);
  CHECK(d.values() == std::vector<double>{7, 7});
  cuda::gemm_nt<T>(1, 2, 0, none.data(), none.data(), d.data(), false);
  CHECK(d.values() == std::vector<double>{0, 0});
  const OnDevice<Accumulator<T>> sums({7, 7});
  cuda::gemm_tn<T>(1, 2, 0, none.data(), none.data(), sums.data());
  CHECK(sums.values() == std::vector<double>{0, 0});
  cuda::gemm<T>(0, 2, 3, none.data(), none.data(), bias.data(), c.data());  // writes nothing
  CHECK(c.values() == std::vector<double>{0, 0, 0, 0});
}

TEST_CASE("a product sums in float32 and rounds its bfloat16 result once, after the bias") {
  // 256 + 1 lies between two neighbours, 256 and 258, and stays in the sum: with the bias it is 258 exactly.
  const OnDevice<bfloat16> a({256, 1}), b({1, 1}), bias({1}), c({0});
  cuda::gemm<bfloat16>(1, 1, 2, a.data(), b.data(), bias.data(), c.data());
  CHECK(c.values() == std::vector<double>{258});
}

TEST_CASE("an unaligned operand of a product is refused by its name") {
  const OnDevice<float> a(std::vector<double>(200, 1)), b(std::vector<double>(200, 1)),
      c(std::vector<double>(200, 1));
  const auto product = [&](int64_t a_at, int64_t b_at, int64_t bias_at, int64_t c_at) {
    cuda::gemm<float>(2, 2, 3, a.data() + a_at, b.data() + b_at, a.data() + bias_at, c.data() + c_at);
  };
  CHECK_NOTHROW(product(64, 64, 64, 64));  // 256 bytes
  CHECK_THROWS_WITH(product(4, 0, 0, 0), Contains("matrix product: a does not begin at a multiple of 256"));
  CHECK_THROWS_WITH(product(0, 32, 0, 0), Contains("matrix product: b does not begin at a multiple of 256"));
  CHECK_THROWS_WITH(product(0, 0, 1, 0), Contains("matrix product: the bias does not begin"));
  CHECK_THROWS_WITH(product(0, 0, 0, 63), Contains("matrix product: c does not begin"));
}

TEST_CASE("a product has the library's workspace while it runs, and waits for nothing") {
  const OnDevice<float> a({1, 2}), b({3, 4}), c({0});
  const int64_t before = cuda::device_memory_use().current;
  const cuda::Counters counted = cuda::counters();
  cuda::reset_device_peak();
  cuda::gemm<float>(1, 1, 2, a.data(), b.data(), no_bias<float>(), c.data());
  CHECK(cuda::device_memory_use().current == before);
  CHECK(cuda::device_memory_use().peak == before + cuda::gemm_workspace_bytes);
  CHECK(cuda::counters().synchronizations == counted.synchronizations);
  CHECK(cuda::counters().copies == counted.copies);
  CHECK(cuda::counters().allocations <= counted.allocations + 1);  // the workspace, the first time
}
