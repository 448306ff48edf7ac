#include "ops/dropout.h"

#include "core/parallel.h"
#include "cuda/device/philox.h"
#include "ops/arithmetic.h"
#include "ops/dispatch.h"

namespace fovea {
namespace {

// The factor of element (or sample) i: 0 with probability p, otherwise 1 / (1 - p).
template <class T>
T survival(uint64_t key, int64_t i, float p) {
  const PhiloxBlock block = philox4x32(key, uint64_t(i) / 4);
  return uniform_from_word(block.word[i % 4]) < p ? T(0) : T(1) / (T(1) - T(p));
}

template <class T>
void dropout_cpu(const T* x, T* y, int64_t n, float p, uint64_t key) {
  parallel_for(n, 4096, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = x[i] * survival<T>(key, i, p);
  });
}

// y = shortcut (where there is one) + branch * survival(sample)
template <class T>
void stochastic_depth_cpu(const T* branch, const T* shortcut, T* y, int64_t samples, int64_t size, float p,
                          uint64_t key) {
  parallel_for(samples * size, 1 << 14, [=](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t sample = begin / size, last = std::min(end, (sample + 1) * size);
      const T factor = survival<T>(key, sample, p);
      if (shortcut)
        for (int64_t i = begin; i < last; ++i) y[i] = shortcut[i] + branch[i] * factor;
      else
        for (int64_t i = begin; i < last; ++i) y[i] = branch[i] * factor;
      begin = last;
    }
  });
}

void check(const char* op, double p) {
  require(p >= 0 && p < 1, "[{}] the probability is {}, it must be in [0, 1)", op, p);
}

Tensor scale_samples(const char* op, const Tensor& branch, const Tensor& shortcut, double p, uint64_t key) {
  Tensor y = empty_like(branch);
  const int64_t samples = branch.size(0), size = samples ? branch.numel() / samples : 0;
  with_float_dtype(branch.dtype(), op, [&]<class T>() {
    on(branch.device(), stochastic_depth_cpu<T>)(branch.data<T>(),
                                                 shortcut.defined() ? shortcut.data<T>() : nullptr,
                                                 y.data<T>(), samples, size, float(p), key);
  });
  return y;
}

}  // namespace

Tensor dropout(const Tensor& x, double p, uint64_t key) {
  check("dropout", p);
  if (p == 0) return x;
  Tensor y = empty_like(x);
  with_float_dtype(x.dtype(), "dropout", [&]<class T>() {
    on(x.device(), dropout_cpu<T>)(x.data<T>(), y.data<T>(), x.numel(), float(p), key);
  });
  return record(y, "dropout", {x}, [p, key](const Tensor& dy) -> Tensors { return {dropout(dy, p, key)}; });
}

Tensor stochastic_depth(const Tensor& x, double p, uint64_t key) {
  check("stochastic_depth", p);
  if (p == 0) return x;
  return record(scale_samples("stochastic_depth", x, {}, p, key), "stochastic_depth", {x},
                [p, key](const Tensor& dy) -> Tensors { return {stochastic_depth(dy, p, key)}; });
}

Tensor stochastic_depth_add(const Tensor& branch, const Tensor& shortcut, double p, uint64_t key) {
  check("stochastic_depth_add", p);
  require(branch.shape() == shortcut.shape() && branch.dtype() == shortcut.dtype(),
          "[stochastic_depth_add] the branch is {}, the shortcut {}: they must be alike", branch.shape(),
          shortcut.shape());
  if (p == 0) return add(branch, shortcut);
  return record(scale_samples("stochastic_depth_add", branch, shortcut, p, key), "stochastic_depth_add",
                {branch, shortcut}, [p, key](const Tensor& dy) -> Tensors {
                  return {stochastic_depth(dy, p, key), dy};
                });
}

}  // namespace fovea
