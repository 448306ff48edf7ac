#pragma once
#include <cstdint>

namespace fovea {

// How a k x k window moves over an image: shared by convolutions and pools, on CPU and GPU.
//
// Padding::same is TensorFlow's "SAME": the output has ceil(in / stride) positions, and of the total padding
// max((out - 1) * stride + kernel - in, 0) the smaller half lies before: even inputs at stride 2 are padded
// on the bottom and right only. Padding::symmetric pads kernel / 2 on each side, as PyTorch's models do.
enum class Padding { same, symmetric };

// Kernel size, stride and padding, the same along both axes.
struct Window {
  int kernel = 3;
  int stride = 1;
  Padding padding = Padding::same;

  // Positions of the window along an axis of `in` pixels.
  int64_t output_size(int64_t in) const {
    return padding == Padding::same ? (in + stride - 1) / stride
                                    : (in + 2 * (kernel / 2) - kernel) / stride + 1;
  }
  // Zeros before the first pixel of an axis of `in` pixels.
  int64_t pad_before(int64_t in) const {
    if (padding == Padding::symmetric) return kernel / 2;
    const int64_t total = (output_size(in) - 1) * stride + kernel - in;
    return total > 0 ? total / 2 : 0;
  }
};

}  // namespace fovea
