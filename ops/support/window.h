#pragma once
#include "core/error.h"
#include "core/tensor.h"
#include "cuda/kernels/window.h"

namespace fovea {

// Throws, naming the op, on a window that no op supports.
inline void require_window(const char* op, const Window& window) {
  require(window.kernel >= 1 && window.stride >= 1, "[{}] kernel {} and stride {} must be at least 1", op,
          window.kernel, window.stride);
  const int padding = window.padding.number;
  require(padding >= 0 && padding < window.kernel,
          "[{}] a padding of {} pixels must be at least 0 and smaller than the kernel, {}", op, padding,
          window.kernel);
}

// Throws if x (N, H, W, C) is smaller than its window.
inline void require_window_fits(const char* op, const Tensor& x, const Window& window) {
  require(window.output_size(x.size(1)) > 0 && window.output_size(x.size(2)) > 0,
          "[{}] x {} is smaller than the {}x{} window, its padding included", op, x.shape(), window.kernel,
          window.kernel);
}

}  // namespace fovea
