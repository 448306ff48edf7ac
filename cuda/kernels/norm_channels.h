#pragma once
#include <algorithm>
#include <cmath>

#include "cuda/device/unroll.h"
#include "cuda/device/vector.h"
#include "cuda/kernels/batch_norm.h"
#include "cuda/platform.h"
#include "cuda/runtime/error.h"

namespace fovea::cuda {

// Shared by batch_norm.cu, batch_norm_given.cu and batch_norm_squeeze_excite.cu: the numbers of one channel,
// which one thread computes, and how many channels a thread has where it walks down the rows.

// The coefficients of a channel from its statistics (arXiv 1502.03167, algorithm 1), written at `at`.
template <class R>
__device__ inline void write_coefficients(const BatchNormCoefficients<R>& norm, int64_t at, R mean,
                                          R variance, R epsilon, R weight, R bias) {
  const R inverse_std = R(1) / std::sqrt(variance + epsilon), scale = weight * inverse_std;
  norm.scale[at] = scale;
  norm.shift[at] = bias - mean * scale;
  norm.mean[at] = mean;
  norm.inverse_std[at] = inverse_std;
}

// Sums of distances from a pivot and of their squares become the mean and the sum of squares around it.
template <class R>
__device__ inline void from_pivot(R pivot, R rows, R (&sums)[2]) {
  sums[1] -= sums[0] * sums[0] / rows;
  sums[0] = pivot + sums[0] / rows;
}

// Adds a chunk's statistics to such sums in N channels. This merges as Chan, Golub and LeVeque do, but all at
// once, relative to one mean: that keeps the digits without arithmetic in double, which consumer GPUs run at
// 1/64 of the rate.
template <int N, class R>
__device__ inline void add_chunk(const Pack<R, N>& pivot, R rows, const Pack<R, N>& mean,
                                 const Pack<R, N>& squares, R (&sums)[2 * N]) {
  UNROLL for (int k = 0; k < N; ++k) {
    const R distance = mean.value[k] - pivot.value[k];
    sums[k] += rows * distance;
    sums[N + k] += squares.value[k] + rows * distance * distance;
  }
}

// A channel's parameters and running averages. All are loaded at once, since the compiler may not move a load
// before a store.
template <class R>
class NormChannel {
 public:
  __device__ NormChannel(const BatchNormParameters<R>& of, int64_t channel)
      : of_(of), channel_(channel), weight_(of.weight[channel]), bias_(of.bias[channel]) {
    if (!of.running_mean) return;
    running_mean_ = of.running_mean[channel];
    running_variance_ = of.running_variance[channel];
  }
  // From the mean and the sum of squared distances from it: writes the coefficients at `at`, and updates the
  // running averages.
  __device__ void write(const R (&statistics)[2], int64_t rows, R epsilon, R momentum,
                        const BatchNormCoefficients<R>& norm, int64_t at) const {
    // Rounding may give less than 0; a NaN stays.
    const R mean = statistics[0], variance = statistics[1] < R(0) ? R(0) : statistics[1] / R(rows);
    write_coefficients(norm, at, mean, variance, epsilon, weight_, bias_);
    if (!of_.running_mean) return;
    const R unbiased = rows > 1 ? R(rows) / R(rows - 1) : R(1), keep = 1 - momentum;
    of_.running_mean[channel_] = keep * running_mean_ + momentum * mean;
    of_.running_variance[channel_] = keep * running_variance_ + momentum * unbiased * variance;
  }

 private:
  const BatchNormParameters<R>& of_;
  int64_t channel_;
  R weight_, bias_, running_mean_ = 0, running_variance_ = 0;
};

// Finishes the statistics that the preceding convolution gathered, for one segment and in one launch: writes
// the coefficients and updates the running averages (batch_norm_given.cu).
void merge_given(const BatchNormChunks<float>& given, const BatchNormTable<float>& norms,
                 const BatchNormCoefficients<float>& norm, const BatchNormDims& dims);

// The backward pass, with z = x * scale + shift and g = dy f'(z): the gradient of z
template <class F, class T, class R>
__device__ inline R gradient_of_z(R x, R dy, R scale, R shift) {
  return dy * F::template derivative<T>(x * scale + shift);
}
// and of x, from constant and slope below.
template <class F, class T, class R>
__device__ inline R gradient_of_x(R x, R dy, R scale, R shift, R constant, R slope) {
  return scale * gradient_of_z<F, T>(x, dy, scale, shift) - constant - x * slope;
}

// From sum g and sum g (x - mean): the gradients of a channel's weight and bias, and what
//   dx = scale g - constant - x slope
// needs, the gradient terms of mean and variance (arXiv 1502.03167, section 3), which are 0 with running
// averages. These terms need the sums of all processes and all their rows, the parameters only the sums of
// this process, whose gradients are added later.
template <class R>
struct ChannelGradients {
  BatchNormCoefficients<R> norm;
  bool training;
  R *constant, *slope;

  // `at`: the place of the channel's coefficients, constant and slope.
  __device__ void write(const R (&all)[2], const R (&own)[2], R rows, int64_t at, R* weight, R* bias) const {
    // All loads come first: none may be moved before a store.
    const R scale = norm.scale[at], inverse_std = norm.inverse_std[at], mean = norm.mean[at];
    const R of_variance = training ? scale * inverse_std * inverse_std * all[1] / rows : R(0);
    *weight = own[1] * inverse_std;
    *bias = own[0];
    slope[at] = of_variance;
    constant[at] = training ? scale * all[0] / rows - of_variance * mean : R(0);
  }
};

// Channels of a thread: the sums and coefficients of 8 would leave registers for few warps.
constexpr int norm_pack(int bytes) { return std::min(16 / bytes, 4); }

// Calls f.operator()<N>() with the channels of a thread, for a tensor of `size` numbers. Throws CudaError if
// it has more packs than the kernels count.
template <class T, class F>
void with_norm_pack(int64_t size, int64_t channels, F&& f) {
  constexpr int pack = norm_pack(sizeof(T));
  const bool packs = channels % pack == 0;
  if (size / (packs ? pack : 1) >> 32)
    throw CudaError("batch norm: a tensor has 2^32 packs or more, which is more than its kernels count");
  packs ? f.template operator()<pack>() : f.template operator()<1>();
}

}  // namespace fovea::cuda
