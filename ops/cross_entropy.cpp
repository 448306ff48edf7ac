#include "ops/cross_entropy.h"

#include <cmath>

#include "core/parallel.h"
#include "ops/dispatch.h"

namespace fovea {
namespace {

// p = softmax of each row; log_sum[n] = log sum_k e^x_k
template <class T>
void softmax_cpu(const T* x, T* p, T* log_sum, int64_t rows, int64_t classes) {
  parallel_for(rows, 1, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const T* row = x + n * classes;
      T largest = row[0], sum = 0;
      for (int64_t k = 1; k < classes; ++k) largest = std::max(largest, row[k]);
      for (int64_t k = 0; k < classes; ++k) sum += p[n * classes + k] = std::exp(row[k] - largest);
      for (int64_t k = 0; k < classes; ++k) p[n * classes + k] /= sum;
      log_sum[n] = largest + std::log(sum);
    }
  });
}

}  // namespace

Tensor softmax(const Tensor& x) {
  require(x.rank() == 2 && x.size(1) > 0, "[softmax] x is {}, it must be (N, K)", x.shape());
  Tensor p = empty_like(x), log_sum({x.size(0)}, x.dtype());
  with_float_dtype(x.dtype(), "softmax", [&]<class T>() {
    on(x.device(), softmax_cpu<T>)(x.data<T>(), p.data<T>(), log_sum.data<T>(), x.size(0), x.size(1));
  });
  return p;
}

Tensor softmax_cross_entropy(const Tensor& x, const Tensor& labels, double label_smoothing) {
  require(
      x.rank() == 2 && x.numel() > 0 && labels.dtype() == DType::int32 && labels.shape() == Shape{x.size(0)},
      "[softmax_cross_entropy] x {} needs int32 labels of {}, got {} of {}", x.shape(),
      x.rank() ? x.size(0) : 0, labels.dtype(), labels.shape());
  require(label_smoothing >= 0 && label_smoothing < 1,
          "[softmax_cross_entropy] label smoothing {} must be in [0, 1)", label_smoothing);
  const int64_t rows = x.size(0), classes = x.size(1);
  const int32_t* label = labels.data<int32_t>();
  for (int64_t n = 0; n < rows; ++n)
    require(label[n] >= 0 && label[n] < classes,
            "[softmax_cross_entropy] label {} of row {} is not in 0 to {}", label[n], n, classes - 1);
  Tensor p = empty_like(x), loss({}, x.dtype(), x.device()), log_sum({rows}, x.dtype(), x.device());
  with_float_dtype(x.dtype(), "softmax_cross_entropy", [&]<class T>() {
    on(x.device(), softmax_cpu<T>)(x.data<T>(), p.data<T>(), log_sum.data<T>(), rows, classes);
    double total = 0;
    for (int64_t n = 0; n < rows; ++n) {
      double mean = 0;  // of the row: what smoothing pulls towards
      for (int64_t k = 0; k < classes; ++k) mean += double(x.data<T>()[n * classes + k]) / double(classes);
      total += double(log_sum.data<T>()[n]) -
               (1 - label_smoothing) * double(x.data<T>()[n * classes + label[n]]) - label_smoothing * mean;
    }
    *loss.data<T>() = T(total / double(rows));
  });
  return record(loss, "softmax_cross_entropy", {x},
                [p, labels, label_smoothing, rows, classes](const Tensor& dy) -> Tensors {
                  Tensor dx = empty_like(p);
                  with_float_dtype(p.dtype(), "softmax_cross_entropy", [&]<class T>() {
                    const T scale = T(dy.item() / double(rows)), share = T(label_smoothing / double(classes));
                    for (int64_t n = 0; n < rows; ++n)
                      for (int64_t k = 0; k < classes; ++k) {
                        const T target =
                            share + (k == labels.data<int32_t>()[n] ? T(1 - label_smoothing) : T(0));
                        dx.data<T>()[n * classes + k] = scale * (p.data<T>()[n * classes + k] - target);
                      }
                  });
                  return {dx};
                });
}

}  // namespace fovea
