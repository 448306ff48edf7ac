#pragma once
#include <cstdint>

#include "cuda/device/bfloat16.h"

namespace fovea {

// Squeeze and excitation of images (batch, pixels, channels): height and width do not matter. R is the type
// of the parameters and of everything between the means and the factors.
template <class R>
struct SqueezeExcite {
  int64_t batch, pixels, channels, reduced;
  const R *w_reduce, *b_reduce;  // (channels, reduced), (reduced)
  const R *w_expand, *b_expand;  // (reduced, channels), (channels)
  R *pooled, *hidden, *gate;     // made forward, and kept: the means of x (batch, channels), the hidden layer
                                 // before its swish (batch, reduced), the factors (batch, channels)
};

// The gradients of the parameters, in their shapes.
template <class R>
struct SqueezeExciteGradients {
  R *w_reduce, *b_reduce, *w_expand, *b_expand;
};

namespace cuda {

// y = x gate, with gate = sigmoid(swish(pooled w_reduce + b_reduce) w_expand + b_expand); x and y are (batch,
// pixels, channels). A block has channels + reduced numbers in shared memory, which has room for 7000 or more
// on any GPU. Three launches. T: float, double, bfloat16. Every sum has a fixed order.
template <class T>
void squeeze_excite(const T* x, T* y, const SqueezeExcite<Accumulator<T>>& se);
// Its gradients, from what the forward pass kept. Four launches.
template <class T>
void squeeze_excite_backward(const T* x, const T* dy, T* dx, const SqueezeExcite<Accumulator<T>>& se,
                             const SqueezeExciteGradients<Accumulator<T>>& gradients);

// The parts of both that other kernels share. partial (batch, chunks, channels) are sums over chunks of the
// pixels of an image. R: float, double. One launch: from sums of x, the means, the hidden layer, the gate.
template <class R>
void squeeze_excite_gate(const R* partial, int64_t chunks, const SqueezeExcite<R>& se);
// Two launches: from sums of x dy, the gradients of the parameters, and through_means (batch, channels), the
// gradient of each x that comes through the means.
template <class R>
void squeeze_excite_layer_gradients(const R* partial, int64_t chunks, const SqueezeExcite<R>& se,
                                    const SqueezeExciteGradients<R>& gradients, R* through_means);

}  // namespace cuda
}  // namespace fovea
