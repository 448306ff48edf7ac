#include "ops/support/check_op.h"

#include <catch2/catch.hpp>

#include "core/parallel.h"
#include "cuda/runtime/device.h"
#include "ops/arithmetic.h"

using namespace fovea;
using Catch::Contains;

TEST_CASE("check_op leaves the number of threads and their order as they were, whatever throws") {
  constexpr int many = 5;  // a number that check_op does not choose
  const int threads = num_threads();
  const Tensor x = from_values({3}, {1, 2, 3}, DType::float64);
  const auto check = [&](const std::function<double(const Tensor&)>& factor) {
    set_num_threads(many);
    cuda::set_thread_order(cuda::ThreadOrder::shuffled);
    check_op([&](const Tensors& in) { return in[0] * factor(in[0]); }, {x});
  };
  const auto restored = [&] {
    const bool order = !cuda::is_simulated() || cuda::thread_order() == cuda::ThreadOrder::shuffled;
    return order && num_threads() == many;
  };
  const auto throw_if = [](bool now) -> double {
    if (now) throw std::runtime_error("the op's own error");
    return 2;
  };
  CHECK_NOTHROW(check([](const Tensor&) { return 2; }));
  CHECK(restored());
  for (const int at : {1, 2, 3}) {
    CAPTURE(at);
    CHECK_THROWS_WITH(check([&](const Tensor&) { return throw_if(num_threads() == at); }),
                      "the op's own error");
    CHECK(restored());
  }
  CHECK_THROWS_WITH(check([](const Tensor&) { return num_threads() == 3 ? 3 : 2; }),
                    Contains("differs between 1 and 3 threads"));
  CHECK(restored());
  if (cuda::is_simulated()) {
    const auto reversed = [](const Tensor& in) {
      return in.device() == Device::cuda && cuda::thread_order() == cuda::ThreadOrder::reverse;
    };
    CHECK_THROWS_WITH(check([&](const Tensor& in) { return throw_if(reversed(in)); }), "the op's own error");
    CHECK(restored());
    CHECK_THROWS_WITH(check([&](const Tensor& in) { return reversed(in) ? 3 : 2; }),
                      Contains("differs on CUDA with the order of threads"));
    CHECK(restored());
  }
  set_num_threads(threads);
  cuda::set_thread_order(cuda::ThreadOrder::forward);
}
