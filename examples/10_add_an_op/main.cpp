// Lesson 10: an op of your own. hard_swish.h has its formula and hard_swish.cu its kernels; this file has the
// CPU loops, the op, and its test.
#include <cstdio>

#include "core/parallel.h"
#include "hard_swish.h"
#include "ops/support/check_op.h"
#include "ops/support/dispatch.h"

using namespace fovea;

namespace {

// The CPU loops, on all threads. They take plain pointers, with the signature of the CUDA functions.
template <class T>
void forward_cpu(const T* x, T* y, int64_t n) {
  parallel_for(n, 1 << 14, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = lesson::hard_swish(x[i]);
  });
}
template <class T>
void backward_cpu(const T* x, const T* dy, T* dx, int64_t n) {
  parallel_for(n, 1 << 14, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) dx[i] = dy[i] * lesson::hard_swish_derivative(x[i]);
  });
}

// The op computes the output and puts it on the tape with a closure for the backward pass. The closure's
// capture list is what the op keeps until then.
Tensor hard_swish(const Tensor& x) {
  const Tensor y = empty_like(x);
  with_compute_dtype(x, "hard_swish", [&]<class T>() {
    on<T>(x.device(), forward_cpu<Accumulator<T>>, lesson::forward_cuda<T>)(x.data<T>(), y.data<T>(),
                                                                            x.numel());
  });
  return record(y, "hard_swish", {x}, [x = x.detach()](const Tensor& dy) -> Tensors {
    const Tensor dx = empty_like(x);
    with_compute_dtype(x, "hard_swish", [&]<class T>() {
      on<T>(x.device(), backward_cpu<Accumulator<T>>, lesson::backward_cuda<T>)(x.data<T>(), dy.data<T>(),
                                                                                dx.data<T>(), x.numel());
    });
    return {dx};
  });
}

}  // namespace

int main() {
  const Tensor x = from_values({5}, {-4, -1, 0, 1, 4});
  std::printf("hard_swish:");
  for (const double value : hard_swish(x).values()) std::printf(" %.4f", value);
  std::printf("\n");

  // The test compares gradients with central differences in float64, float32 with float64, 1 to 3 threads,
  // and CUDA with the CPU in three dtypes and three orders of threads. The sizes are one, a prime, and more
  // than one block.
  Random random(1);
  for (const int64_t size : {int64_t(1), int64_t(7), int64_t(20011)}) {
    Tensor input = randn({size}, random, DType::float64);
    check_op([](const Tensors& in) { return hard_swish(in[0]); }, {input});
    std::printf("check_op passes for %lld\n", (long long)size);
  }

  // A wrong derivative does not pass: this one omits the derivative of hard swish.
  try {
    check_op(
        [](const Tensors& in) {
          return record(hard_swish(in[0].detach()), "wrong", {in[0]},
                        [](const Tensor& dy) -> Tensors { return {dy.clone()}; });
        },
        {from_values({1}, {1}, DType::float64)});
  } catch (const Error& error) {
    std::printf("error: %.50s...\n", error.what());
  }
}
