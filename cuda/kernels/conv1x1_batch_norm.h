#pragma once
#include <cstddef>
#include <cstdint>

#include "cuda/kernels/activation.h"
#include "cuda/kernels/batch_norm.h"

namespace fovea::cuda {

// The backward pass of y = activation(norm(z)), z = x w, from the gradient of y on: with
//   dz = scale g - constant - z slope,  g = dy activation'(z scale + shift)
// rounded to T as batch_norm_backward() rounds it, dx (rows, in) = dz w^T, or += that with `add`, rounded
// once, and dw (in, out) = x^T dz in float, in a fixed order. x (rows, in), w (in, out), z and dy (rows,
// out); the coefficients, constant and slope (segments, out). The rows are the images and pixels of `dims`,
// and each of its segments has its own norm. All begin at a multiple of 16 bytes. T: bfloat16.
template <class T>
struct Conv1x1Gradients {
  BatchNormDims dims;
  int in = 0;
  const T *x = nullptr, *w = nullptr, *z = nullptr, *dy = nullptr;
  BatchNormCoefficients<float> norm = {};
  const float *constant = nullptr, *slope = nullptr;  // from batch_norm_gradient_sums()
  Activation activation = Activation::identity;
  T* dx = nullptr;
  bool add = false;
};

// How the rows are cut: block b has the tiles b, b + blocks, ... A tile lies in one segment of one image.
struct Conv1x1GradientTiles {
  int parts = 0;  // 16 input channels each; 0: this kernel does not support the sizes
  int rows = 0;   // that a tile has
  int of_image = 0, tiles = 0, blocks = 0;
  size_t shared_bytes = 0;
  // Depends only on the sizes, and so do the bits of dw.
  static Conv1x1GradientTiles of(const BatchNormDims& dims, int64_t in);
};

// Whether this kernel is faster than batch_norm_backward() and two products, if both gradients are wanted.
bool prefers_conv1x1_gradients(const BatchNormDims& dims, int64_t in);

// Throws CudaError if Conv1x1GradientTiles::of() has no parts. It runs on the current stream.
template <class T>
void conv1x1_gradients(const Conv1x1Gradients<T>& of, float* dw);

}  // namespace fovea::cuda
