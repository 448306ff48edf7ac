#pragma once
#include "core/autograd.h"
#include "cuda/kernels/window.h"
#include "ops/support/epilogue.h"

namespace fovea {

// Dense k x k convolution: y[n,i,j,o] = sum_{a,b,c} x[n, i s + a - p, j s + b - p, c] w[a,b,c,o], zero
// outside the image. x (N, H, W, Cin), w (k, k, Cin, Cout), k and stride 1 or more, padding below k -> (N,
// H', W', Cout). w stays float32 where x is bfloat16. For k 1 with stride 1, conv1x1 computes the same and
// copies no pixels. On the CPU it calls `epilogue` for each block of the output; on CUDA it does not, and the
// batch norm that follows does the work. Gradients: dx[n,i,j,c] = sum of dy w over the windows that hold the
// pixel; dw = sum over output positions of dy * x, in a fixed order. On a GPU, cuDNN does the work if it is
// installed and supports the sizes (docs/cuda.md). Throws on ranks, sizes, dtypes and windows that do not
// fit, and if the image is smaller than its window.
Tensor conv2d(const Tensor& x, const Tensor& w, Window window, Epilogue* epilogue = nullptr);
// The same plus bias (Cout) of w's dtype, added in a second pass over the output.
Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& bias, Window window);

}  // namespace fovea
