#pragma once
#include <algorithm>
#include <cmath>

#include "cuda/kernels/batch_norm.h"
#include "cuda/platform.h"
#include "cuda/runtime/error.h"

namespace fovea::cuda {

// What the kernels of batch_norm.cu and batch_norm_squeeze_excite.cu share: the numbers of one channel, which
// one thread computes, and how many channels a thread has where it walks down the rows.

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
