#pragma once
#include "cuda/kernels/batch_norm.h"
#include "cuda/kernels/squeeze_excite.h"

namespace fovea::cuda {

// y = u gate, with u = swish(x scale + shift) and the gate of squeeze and excite from the means of u. Neither
// u nor its gradient is ever stored. x, y, dx and dy are (batch, pixels, channels) of T: float, double,
// bfloat16, with fewer than 2^32 packs of numbers. All sums have a fixed order.
//
// The backward pass reads x and dy only twice, because its sums are taken before the gate's gradient is
// known: with g = dL/dz = (dy gate + m) swish'(z), where m is the gradient that comes through the means,
//   sum g = gate sum dy swish'(z) + m sum swish'(z)
// over the pixels of an image, and the same with a factor x - mean.

// Four launches.
template <class T>
void batch_norm_squeeze_excite(const T* x, const BatchNormTable<Accumulator<T>>& norms, bool training,
                               const BatchNormCoefficients<Accumulator<T>>& coefficients,
                               const BatchNormChunks<Accumulator<T>>& given, T* y,
                               const SqueezeExcite<Accumulator<T>>& se);
// Its gradients, from what the forward pass kept. Five launches.
template <class T>
void batch_norm_squeeze_excite_backward(const T* x, const T* dy,
                                        const BatchNormCoefficients<Accumulator<T>>& coefficients,
                                        bool training, T* dx,
                                        const BatchNormParameters<Accumulator<T>>& norm_gradients,
                                        const SqueezeExcite<Accumulator<T>>& se,
                                        const SqueezeExciteGradients<Accumulator<T>>& gradients);

}  // namespace fovea::cuda
