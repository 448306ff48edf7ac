// Softmax and cross entropy. The row's largest number and its sum take two passes over x, of which the second
// finds the row in the cache. Bytes moved: softmax 2 n sizeof(T), its backward pass 3 n sizeof(T), the loss n
// sizeof(T) and little for each row, its backward pass 2 n sizeof(T); log softmax like softmax. The backward
// passes compute softmax(x) again instead of reading it.
#include "cuda/kernels/cross_entropy.h"

#include <algorithm>
#include <cmath>

#include "cuda/device/grid.h"
#include "cuda/device/reduce.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"

namespace fovea::cuda {
namespace {

// The threads that share a row: one, which is the definition, or a warp, whose lanes take every 32nd class.
struct OneThread {
  static constexpr int size = 1;
  __device__ static int lane() { return 0; }
  template <class R>
  __device__ static R sum(R value) {
    return value;
  }
  template <class R>
  __device__ static R largest(R value) {
    return value;
  }
};
struct OneWarp {
  static constexpr int size = 32;
  __device__ static int lane() { return int(threadIdx.x % 32); }
  template <class R>
  __device__ static R sum(R value) {  // for all lanes
    value = warp_sum(value);
    return __shfl_sync(all_lanes, value, 0);
  }
  template <class R>
  __device__ static R largest(R value) {
    for (int step = 16; step > 0; step /= 2) {
      const R other = __shfl_xor_sync(all_lanes, value, step);
      value = value < other ? other : value;
    }
    return value;
  }
};

// The row of this thread, and the number of rows that the grid handles at once.
template <class Team>
__device__ int64_t first_row() {
  return (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) / Team::size;
}
template <class Team>
__device__ int64_t row_step() {
  return int64_t(gridDim.x) * blockDim.x / Team::size;
}

// A NaN in the row makes the sum a NaN.
template <class Team, class T>
__device__ SoftmaxRow<Accumulator<T>> softmax_row(const T* x, int64_t classes) {
  Accumulator<T> largest = Accumulator<T>(x[0]), sum = 0;
  for (int64_t k = Team::lane(); k < classes; k += Team::size) {
    const Accumulator<T> value = Accumulator<T>(x[k]);
    largest = largest < value ? value : largest;
  }
  largest = Team::largest(largest);
  for (int64_t k = Team::lane(); k < classes; k += Team::size)
    sum += std::exp(Accumulator<T>(x[k]) - largest);
  return {largest, Team::sum(sum)};
}

template <class Team, class T>
__global__ void softmax_kernel(const T* x, T* p, int64_t rows, int64_t classes) {
  for (int64_t n = first_row<Team>(); n < rows; n += row_step<Team>()) {
    const T* from = x + n * classes;
    const SoftmaxRow<Accumulator<T>> row = softmax_row<Team>(from, classes);
    for (int64_t k = Team::lane(); k < classes; k += Team::size)
      p[n * classes + k] = T(std::exp(Accumulator<T>(from[k]) - row.largest) / row.sum);
  }
}

template <class Team, class T>
__global__ void softmax_backward_kernel(const T* x, const T* dy, T* dx, int64_t rows, int64_t classes) {
  using R = Accumulator<T>;
  for (int64_t n = first_row<Team>(); n < rows; n += row_step<Team>()) {
    const int64_t first = n * classes;
    const SoftmaxRow<R> row = softmax_row<Team>(x + first, classes);
    const auto p = [&](int64_t k) { return std::exp(R(x[first + k]) - row.largest) / row.sum; };
    R mean = 0;  // of dy, weighted by p
    for (int64_t k = Team::lane(); k < classes; k += Team::size) mean += p(k) * R(dy[first + k]);
    mean = Team::sum(mean);
    for (int64_t k = Team::lane(); k < classes; k += Team::size)
      dx[first + k] = T(p(k) * (R(dy[first + k]) - mean));
  }
}

template <class Team, class T>
__global__ void log_softmax_kernel(const T* x, T* y, int64_t rows, int64_t classes) {
  using R = Accumulator<T>;
  for (int64_t n = first_row<Team>(); n < rows; n += row_step<Team>()) {
    const T* from = x + n * classes;
    const SoftmaxRow<R> row = softmax_row<Team>(from, classes);
    const R log_sum = std::log(row.sum);
    for (int64_t k = Team::lane(); k < classes; k += Team::size)
      y[n * classes + k] = T((R(from[k]) - row.largest) - log_sum);
  }
}

template <class Team, class T>
__global__ void log_softmax_backward_kernel(const T* x, const T* dy, T* dx, int64_t rows, int64_t classes) {
  using R = Accumulator<T>;
  for (int64_t n = first_row<Team>(); n < rows; n += row_step<Team>()) {
    const int64_t first = n * classes;
    const SoftmaxRow<R> row = softmax_row<Team>(x + first, classes);
    R total = 0;  // of dy
    for (int64_t k = Team::lane(); k < classes; k += Team::size) total += R(dy[first + k]);
    total = Team::sum(total);
    for (int64_t k = Team::lane(); k < classes; k += Team::size)
      dx[first + k] = T(R(dy[first + k]) - std::exp(R(x[first + k]) - row.largest) / row.sum * total);
  }
}

// The weight of a row with this label; NaN if the label is invalid.
template <class R>
__device__ R weight_of(int32_t label, const R* class_weights, int64_t classes) {
  if (label < 0 || label >= classes) return R(NAN);
  return class_weights ? class_weights[label] : R(1);
}

// Each row's loss: w (log sum_k e^x_k - (1 - smoothing) x_label - smoothing mean_k x_k)
template <class Team, class T>
__global__ void cross_entropy_rows(const T* x, const int32_t* labels, const Accumulator<T>* class_weights,
                                   SoftmaxRow<Accumulator<T>>* row, double* row_loss,
                                   Accumulator<T> smoothing, int64_t rows, int64_t classes) {
  for (int64_t n = first_row<Team>(); n < rows; n += row_step<Team>()) {
    const T* from = x + n * classes;
    const SoftmaxRow<Accumulator<T>> of_row = softmax_row<Team>(from, classes);
    Accumulator<T> mean = 0;
    if (smoothing != 0) {
      for (int64_t k = Team::lane(); k < classes; k += Team::size) mean += Accumulator<T>(from[k]);
      mean = Team::sum(mean) / Accumulator<T>(classes);
    }
    if (Team::lane() != 0) continue;
    row[n] = of_row;
    const int32_t label = labels[n];
    const Accumulator<T> weight = weight_of(label, class_weights, classes);
    const Accumulator<T> at_label = weight == weight ? Accumulator<T>(from[label]) : weight;
    row_loss[n] =
        double(weight * (std::log(of_row.sum) + (of_row.largest - at_label) + smoothing * (at_label - mean)));
  }
}

// *loss = the mean of the rows' losses; one block.
template <class R>
__global__ void mean_loss(const double* row_loss, R* loss, int64_t rows) {
  double sum = 0;
  for (int64_t n = threadIdx.x; n < rows; n += blockDim.x) sum += row_loss[n];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *loss = R(sum / double(rows));
}

template <class Team, class T>
__global__ void cross_entropy_backward_rows(const T* x, const int32_t* labels,
                                            const Accumulator<T>* class_weights,
                                            const SoftmaxRow<Accumulator<T>>* row, const Accumulator<T>* dy,
                                            T* dx, double smoothing, int64_t rows, int64_t classes) {
  using R = Accumulator<T>;
  const R scale = *dy / R(rows), share = R(smoothing / double(classes)), rest = R(1 - smoothing);
  for (int64_t n = first_row<Team>(); n < rows; n += row_step<Team>()) {
    const SoftmaxRow<R> of_row = row[n];
    const int32_t label = labels[n];
    const R factor = scale * weight_of(label, class_weights, classes);
    for (int64_t k = Team::lane(); k < classes; k += Team::size) {
      const R p = std::exp(R(x[n * classes + k]) - of_row.largest) / of_row.sum;
      dx[n * classes + k] = T(factor * (p - (k == label ? share + rest : share)));
    }
  }
}

// Calls f.operator()<Team>() with the threads for a row: a warp, unless most of its lanes would be idle.
template <class F>
void with_team(int64_t classes, F&& f) {
  if (classes < 16)
    f.template operator()<OneThread>();
  else
    f.template operator()<OneWarp>();
}

}  // namespace

template <class T>
void softmax(const T* x, T* p, int64_t rows, int64_t classes) {
  with_team(classes, [&]<class Team>() {
    launch(softmax_kernel<Team, T>, {grid_for(rows * Team::size), block_threads}, x, p, rows, classes);
  });
}

template <class T>
void softmax_backward(const T* x, const T* dy, T* dx, int64_t rows, int64_t classes) {
  with_team(classes, [&]<class Team>() {
    launch(softmax_backward_kernel<Team, T>, {grid_for(rows * Team::size), block_threads}, x, dy, dx, rows,
           classes);
  });
}

template <class T>
void log_softmax(const T* x, T* y, int64_t rows, int64_t classes) {
  with_team(classes, [&]<class Team>() {
    launch(log_softmax_kernel<Team, T>, {grid_for(rows * Team::size), block_threads}, x, y, rows, classes);
  });
}

template <class T>
void log_softmax_backward(const T* x, const T* dy, T* dx, int64_t rows, int64_t classes) {
  with_team(classes, [&]<class Team>() {
    launch(log_softmax_backward_kernel<Team, T>, {grid_for(rows * Team::size), block_threads}, x, dy, dx,
           rows, classes);
  });
}

template <class T>
void cross_entropy(const T* x, const int32_t* labels, const Accumulator<T>* class_weights,
                   SoftmaxRow<Accumulator<T>>* row, Accumulator<T>* loss, double smoothing, int64_t rows,
                   int64_t classes) {
  Workspace<double> row_loss(rows);
  with_team(classes, [&]<class Team>() {
    launch(cross_entropy_rows<Team, T>, {grid_for(rows * Team::size), block_threads}, x, labels,
           class_weights, row, row_loss.data(), Accumulator<T>(smoothing), rows, classes);
  });
  launch(mean_loss<Accumulator<T>>, {1, block_threads}, row_loss.data(), loss, rows);
}

template <class T>
void cross_entropy_backward(const T* x, const int32_t* labels, const Accumulator<T>* class_weights,
                            const SoftmaxRow<Accumulator<T>>* row, const Accumulator<T>* dy, T* dx,
                            double smoothing, int64_t rows, int64_t classes) {
  with_team(classes, [&]<class Team>() {
    launch(cross_entropy_backward_rows<Team, T>, {grid_for(rows * Team::size), block_threads}, x, labels,
           class_weights, row, dy, dx, smoothing, rows, classes);
  });
}

#define INSTANTIATE(T)                                                                                    \
  template void softmax<T>(const T*, T*, int64_t, int64_t);                                               \
  template void softmax_backward<T>(const T*, const T*, T*, int64_t, int64_t);                            \
  template void log_softmax<T>(const T*, T*, int64_t, int64_t);                                           \
  template void log_softmax_backward<T>(const T*, const T*, T*, int64_t, int64_t);                        \
  template void cross_entropy<T>(const T*, const int32_t*, const Accumulator<T>*,                         \
                                 SoftmaxRow<Accumulator<T>>*, Accumulator<T>*, double, int64_t, int64_t); \
  template void cross_entropy_backward<T>(const T*, const int32_t*, const Accumulator<T>*,                \
                                          const SoftmaxRow<Accumulator<T>>*, const Accumulator<T>*, T*,   \
                                          double, int64_t, int64_t);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(bfloat16)

}  // namespace fovea::cuda
