#pragma once
#include <cstdint>

#include "cuda/device/bfloat16.h"

namespace fovea {

// What makes a row's exponentials sum to 1: e^x_k / sum_j e^x_j = e^(x_k - largest) / sum, stable for any x.
template <class T>
struct SoftmaxRow {
  T largest, sum;
};

namespace cuda {

// T: float, double, bfloat16; x, p, y, dx and the dy of (log) softmax are (rows, classes), labels are (rows).

// p = softmax of each row
template <class T>
void softmax(const T* x, T* p, int64_t rows, int64_t classes);

// dx = p (dy - the row's sum of p dy), p = softmax of each row of x
template <class T>
void softmax_backward(const T* x, const T* dy, T* dx, int64_t rows, int64_t classes);

// y = log softmax of each row
template <class T>
void log_softmax(const T* x, T* y, int64_t rows, int64_t classes);

// dx = dy - p (the row's sum of dy), p = softmax of each row of x
template <class T>
void log_softmax_backward(const T* x, const T* dy, T* dx, int64_t rows, int64_t classes);

// *loss = mean over the rows of -w sum_k t_k log softmax(x)_k, t = (1 - smoothing) onehot(label) + smoothing
// / classes, w = class_weights[label], or 1 if class_weights (classes) is null. NaN if a label is invalid.
// `row` receives each row's softmax, for the backward pass.
template <class T>
void cross_entropy(const T* x, const int32_t* labels, const Accumulator<T>* class_weights,
                   SoftmaxRow<Accumulator<T>>* row, Accumulator<T>* loss, double smoothing, int64_t rows,
                   int64_t classes);

// dx = *dy w (softmax(x) - t) / rows; NaN in rows with an invalid label.
template <class T>
void cross_entropy_backward(const T* x, const int32_t* labels, const Accumulator<T>* class_weights,
                            const SoftmaxRow<Accumulator<T>>* row, const Accumulator<T>* dy, T* dx,
                            double smoothing, int64_t rows, int64_t classes);

}  // namespace cuda
}  // namespace fovea
