#pragma once
#include <vector>

#include "core/parallel.h"
#include "core/tensor.h"
#include "cuda/kernels/squeeze_excite.h"

namespace fovea {

// What squeeze and excite of x (N, H, W, C) needs: its parameters, off the tape, and what the forward pass
// makes and keeps.
struct SqueezeExciteTensors {
  int64_t batch, pixels, channels, reduced;
  Tensors layers;  // w_reduce, b_reduce, w_expand, b_expand
  Tensor pooled, hidden, gate;

  // Throws, in the name of the op, if x has no pixels, or a parameter has another shape, dtype or device.
  SqueezeExciteTensors(const char* op, const Tensor& x, const Tensors& layers);
  template <class R>
  SqueezeExcite<R> pointers() const {
    return {batch,
            pixels,
            channels,
            reduced,
            layers[0].data<R>(),
            layers[1].data<R>(),
            layers[2].data<R>(),
            layers[3].data<R>(),
            pooled.data<R>(),
            hidden.data<R>(),
            gate.data<R>()};
  }
};

// Calls f(n) for each image. Threads take whole images, so that what an image's first loop reads is in the
// cache for its second; if that would leave threads idle, the loops over its pixels run on all of them.
template <class F>
void for_images(int64_t batch, F&& f) {
  const bool enough = batch % num_threads() == 0 || batch >= 4 * num_threads();
  parallel_for(batch, enough ? 1 : batch, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) f(n);
  });
}

// to = from scale + shift for each pixel of one image, with a scale and a shift (channels) each; to may be
// from.
template <class T>
void scale_pixels(const T* from, const T* scale, const T* shift, T* to, int64_t pixels, int64_t channels);

// The two layers of image n, from its means in se.pooled: computes se.hidden and se.gate.
template <class T>
void squeeze_excite_gate(const SqueezeExcite<T>& se, int64_t n);

// The backward pass of the layers.
template <class T>
class SqueezeExciteLayerGradients {
 public:
  explicit SqueezeExciteLayerGradients(const SqueezeExcite<T>& se);
  // From the sums (channels) of u dy over the pixels of image n, where y = u gate: writes the gradient of
  // each of its u that comes through the means. Different images may be given by different threads.
  void image(int64_t n, const T* sums, T* through_means);
  // Writes the gradients of the parameters, after all images.
  void finish(const SqueezeExciteGradients<T>& to) const;

 private:
  SqueezeExcite<T> se_;
  std::vector<T> logits_, hiddens_, activated_;  // before the sigmoid, before the swish, after the swish
};

}  // namespace fovea
