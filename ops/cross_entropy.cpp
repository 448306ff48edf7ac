#include "ops/cross_entropy.h"

#include <cmath>

#include "core/parallel.h"
#include "cuda/kernels/cross_entropy.h"
#include "ops/support/class_weights.h"
#include "ops/support/dispatch.h"

namespace fovea {
namespace {

template <class T>
SoftmaxRow<T> softmax_row(const T* x, int64_t classes) {
  T largest = x[0], sum = 0;
  for (int64_t k = 1; k < classes; ++k) largest = std::max(largest, x[k]);
  for (int64_t k = 0; k < classes; ++k) sum += std::exp(x[k] - largest);
  return {largest, sum};
}

template <class T>
void softmax_cpu(const T* x, T* p, int64_t rows, int64_t classes) {
  parallel_for(rows, 1, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const SoftmaxRow<T> row = softmax_row(x + n * classes, classes);
      for (int64_t k = 0; k < classes; ++k)
        p[n * classes + k] = std::exp(x[n * classes + k] - row.largest) / row.sum;
    }
  });
}

template <class T>
void softmax_backward_cpu(const T* x, const T* dy, T* dx, int64_t rows, int64_t classes) {
  parallel_for(rows, 1, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const int64_t first = n * classes;
      const SoftmaxRow<T> row = softmax_row(x + first, classes);
      T mean = 0;  // of dy, weighted by p
      for (int64_t i = first; i < first + classes; ++i) {
        dx[i] = std::exp(x[i] - row.largest) / row.sum;
        mean += dx[i] * dy[i];
      }
      for (int64_t i = first; i < first + classes; ++i) dx[i] *= dy[i] - mean;
    }
  });
}

template <class T>
void log_softmax_cpu(const T* x, T* y, int64_t rows, int64_t classes) {
  parallel_for(rows, 1, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const SoftmaxRow<T> row = softmax_row(x + n * classes, classes);
      const T log_sum = std::log(row.sum);
      for (int64_t i = n * classes; i < (n + 1) * classes; ++i) y[i] = (x[i] - row.largest) - log_sum;
    }
  });
}

template <class T>
void log_softmax_backward_cpu(const T* x, const T* dy, T* dx, int64_t rows, int64_t classes) {
  parallel_for(rows, 1, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const int64_t first = n * classes;
      const SoftmaxRow<T> row = softmax_row(x + first, classes);
      T total = 0;
      for (int64_t i = first; i < first + classes; ++i) total += dy[i];
      for (int64_t i = first; i < first + classes; ++i)
        dx[i] = dy[i] - std::exp(x[i] - row.largest) / row.sum * total;
    }
  });
}

template <class T>
void cross_entropy_cpu(const T* x, const int32_t* labels, const T* class_weights, SoftmaxRow<T>* row, T* loss,
                       double smoothing, int64_t rows, int64_t classes) {
  parallel_for(rows, 1, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) row[n] = softmax_row(x + n * classes, classes);
  });
  double total = 0;
  for (int64_t n = 0; n < rows; ++n) {
    double mean = 0;  // of the row: what smoothing pulls towards
    for (int64_t k = 0; k < classes; ++k) mean += double(x[n * classes + k]) / double(classes);
    const double of_row = double(row[n].largest + std::log(row[n].sum)) -
                          (1 - smoothing) * double(x[n * classes + labels[n]]) - smoothing * mean;
    total += class_weights ? double(class_weights[labels[n]]) * of_row : of_row;
  }
  *loss = T(total / double(rows));
}

template <class T>
void cross_entropy_backward_cpu(const T* x, const int32_t* labels, const T* class_weights,
                                const SoftmaxRow<T>* row, const T* dy, T* dx, double smoothing, int64_t rows,
                                int64_t classes) {
  const T scale = T(double(*dy) / double(rows)), share = T(smoothing / double(classes));
  parallel_for(rows, 1, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const T of_row = class_weights ? scale * class_weights[labels[n]] : scale;
      for (int64_t k = 0; k < classes; ++k) {
        const T target = share + (k == labels[n] ? T(1 - smoothing) : T(0));
        const T p = std::exp(x[n * classes + k] - row[n].largest) / row[n].sum;
        dx[n * classes + k] = of_row * (p - target);
      }
    }
  });
}

// Two numbers per row, as a tensor to keep for the backward pass.
template <class T>
SoftmaxRow<T>* softmax_rows(const Tensor& x) {
  return reinterpret_cast<SoftmaxRow<T>*>(x.data<T>());
}

// x as rows along its last axis.
struct Rows {
  int64_t rows, classes;
};
Rows rows_of(const char* op, const Tensor& x) {
  require(x.rank() > 0 && x.size(-1) > 0, "[{}] x is {}: it must have a last axis of one number or more", op,
          x.shape());
  return {x.numel() / x.size(-1), x.size(-1)};
}

}  // namespace

Tensor softmax(const Tensor& x) {
  const Rows d = rows_of("softmax", x);
  Tensor p = empty_like(x);
  with_compute_dtype(x, "softmax", [&]<class T>() {
    on<T>(x.device(), softmax_cpu<Accumulator<T>>, cuda::softmax<T>)(x.data<T>(), p.data<T>(), d.rows,
                                                                     d.classes);
  });
  // Keeps x rather than p: rounded to bfloat16, the rows of p no longer sum to 1, and a constant added to a
  // row of dy would not cancel.
  return record(p, "softmax", {x}, [x = x.detach(), d](const Tensor& dy) -> Tensors {
    Tensor dx = empty_like(x);
    with_compute_dtype(x, "softmax", [&]<class T>() {
      on<T>(x.device(), softmax_backward_cpu<Accumulator<T>>, cuda::softmax_backward<T>)(
          x.data<T>(), dy.data<T>(), dx.data<T>(), d.rows, d.classes);
    });
    return {dx};
  });
}

Tensor log_softmax(const Tensor& x) {
  const Rows d = rows_of("log_softmax", x);
  Tensor y = empty_like(x);
  with_compute_dtype(x, "log_softmax", [&]<class T>() {
    on<T>(x.device(), log_softmax_cpu<Accumulator<T>>, cuda::log_softmax<T>)(x.data<T>(), y.data<T>(), d.rows,
                                                                             d.classes);
  });
  return record(y, "log_softmax", {x}, [x = x.detach(), d](const Tensor& dy) -> Tensors {
    Tensor dx = empty_like(x);
    with_compute_dtype(x, "log_softmax", [&]<class T>() {
      on<T>(x.device(), log_softmax_backward_cpu<Accumulator<T>>, cuda::log_softmax_backward<T>)(
          x.data<T>(), dy.data<T>(), dx.data<T>(), d.rows, d.classes);
    });
    return {dx};
  });
}

Tensor softmax_cross_entropy(const Tensor& x, const Tensor& labels, double label_smoothing,
                             const Tensor& class_weights) {
  require(
      x.rank() == 2 && x.numel() > 0 && labels.dtype() == DType::int32 && labels.shape() == Shape{x.size(0)},
      "[softmax_cross_entropy] x {} needs int32 labels of {}, got {} of {}", x.shape(),
      x.rank() ? x.size(0) : 0, labels.dtype(), labels.shape());
  require(label_smoothing >= 0 && label_smoothing < 1,
          "[softmax_cross_entropy] label smoothing {} must be in [0, 1)", label_smoothing);
  require_one_device("softmax_cross_entropy", {x, labels, class_weights});
  check_class_weights("softmax_cross_entropy", class_weights, x);
  const int64_t rows = x.size(0), classes = x.size(1);
  const int32_t* label = labels.data<int32_t>();
  for (int64_t n = 0; n < rows && x.device() == Device::cpu && !is_dry_run(); ++n)
    require(label[n] >= 0 && label[n] < classes,
            "[softmax_cross_entropy] label {} of row {} is not in 0 to {}", label[n], n, classes - 1);
  const DType real = accumulator_dtype(x.dtype());
  Tensor loss({}, real, x.device()), row({rows, 2}, real, x.device());
  with_compute_dtype(x, "softmax_cross_entropy", [&]<class T>() {
    on<T>(x.device(), cross_entropy_cpu<Accumulator<T>>, cuda::cross_entropy<T>)(
        x.data<T>(), label, class_weights_or_null<Accumulator<T>>(class_weights),
        softmax_rows<Accumulator<T>>(row), loss.data<Accumulator<T>>(), label_smoothing, rows, classes);
  });
  return record(
      loss, "softmax_cross_entropy", {x},
      [x = x.detach(), labels, class_weights, row, label_smoothing, rows,
       classes](const Tensor& dy) -> Tensors {
        Tensor dx = empty_like(x);
        with_compute_dtype(x, "softmax_cross_entropy", [&]<class T>() {
          on<T>(x.device(), cross_entropy_backward_cpu<Accumulator<T>>, cuda::cross_entropy_backward<T>)(
              x.data<T>(), labels.data<int32_t>(), class_weights_or_null<Accumulator<T>>(class_weights),
              softmax_rows<Accumulator<T>>(row), dy.data<Accumulator<T>>(), dx.data<T>(), label_smoothing,
              rows, classes);
        });
        return {dx};
      });
}

}  // namespace fovea
