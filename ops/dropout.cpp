#include "ops/dropout.h"

#include "core/parallel.h"
#include "cuda/kernels/dropout.h"
#include "ops/arithmetic.h"
#include "ops/support/dispatch.h"

namespace fovea {
namespace {

template <class T>
T survival_of(RandomKey key, int64_t i, float p) {
  return survival<T>(key.words(i / 4).word[i % 4], p);
}

template <class T>
void dropout_cpu(const T* x, T* y, int64_t n, float p, RandomKey key) {
  parallel_for(n, 4096, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end;) {  // four elements share a block of random words
      const PhiloxBlock block = key.words(i / 4);
      const int64_t last = std::min(end, i / 4 * 4 + 4);
      for (; i < last; ++i) y[i] = x[i] * survival<T>(block.word[i % 4], p);
    }
  });
}

// y = shortcut (where there is one) + branch * survival_of(sample)
template <class T>
void stochastic_depth_cpu(const T* branch, const T* shortcut, T* y, int64_t samples, int64_t size, float p,
                          RandomKey key) {
  parallel_for(samples * size, 1 << 14, [=](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t sample = begin / size, last = std::min(end, (sample + 1) * size);
      const T factor = survival_of<T>(key, sample, p);
      if (shortcut)
        for (int64_t i = begin; i < last; ++i) y[i] = shortcut[i] + branch[i] * factor;
      else
        for (int64_t i = begin; i < last; ++i) y[i] = branch[i] * factor;
      begin = last;
    }
  });
}

void check(const char* op, double p) {
  require(p >= 0 && p < 1, "[{}] the probability is {}: it must be in [0, 1)", op, p);
}

Tensor scale_samples(const char* op, const Tensor& branch, const Tensor& shortcut, double p, RandomKey key) {
  Tensor y = empty_like(branch);
  const int64_t samples = branch.size(0), size = samples ? branch.numel() / samples : 0;
  with_compute_dtype(branch, op, [&]<class T>() {
    on<T>(branch.device(), stochastic_depth_cpu<Accumulator<T>>, cuda::stochastic_depth<T>)(
        branch.data<T>(), shortcut.defined() ? shortcut.data<T>() : nullptr, y.data<T>(), samples, size,
        float(p), key);
  });
  return y;
}

}  // namespace

Tensor dropout(const Tensor& x, double p, RandomKey key) {
  check("dropout", p);
  if (p == 0) return x;
  Tensor y = empty_like(x);
  with_compute_dtype(x, "dropout", [&]<class T>() {
    on<T>(x.device(), dropout_cpu<Accumulator<T>>, cuda::dropout<T>)(x.data<T>(), y.data<T>(), x.numel(),
                                                                     float(p), key);
  });
  return record(y, "dropout", {x}, [p, key](const Tensor& dy) -> Tensors { return {dropout(dy, p, key)}; });
}

Tensor stochastic_depth(const Tensor& x, double p, RandomKey key) {
  check("stochastic_depth", p);
  if (p == 0) return x;
  return record(scale_samples("stochastic_depth", x, {}, p, key), "stochastic_depth", {x},
                [p, key](const Tensor& dy) -> Tensors { return {stochastic_depth(dy, p, key)}; });
}

Tensor stochastic_depth_add(const Tensor& branch, const Tensor& shortcut, double p, RandomKey key) {
  check("stochastic_depth_add", p);
  require_one_device("stochastic_depth_add", {branch, shortcut});
  require(branch.shape() == shortcut.shape() && branch.dtype() == shortcut.dtype(),
          "[stochastic_depth_add] the branch is {}, the shortcut {}: they must match", branch.shape(),
          shortcut.shape());
  if (p == 0) return add(branch, shortcut);
  return record(scale_samples("stochastic_depth_add", branch, shortcut, p, key), "stochastic_depth_add",
                {branch, shortcut}, [p, key](const Tensor& dy) -> Tensors {
                  return {stochastic_depth(dy, p, key), dy};
                });
}

}  // namespace fovea
