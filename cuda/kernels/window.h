#pragma once
#include <cstdint>

namespace fovea {

// Zeros around an image, under the windows that extend past its edges.
//   Padding::same       TensorFlow's "SAME": the output has ceil(in / stride) positions. It takes
//                       max((out - 1) * stride + kernel - in, 0) zeros, the smaller half of them first: an
//                       even input at stride 2 is padded only on the bottom and right
//   Padding::symmetric  kernel / 2 on each side, as PyTorch's models do
//   Padding::valid      none: TensorFlow's "VALID"
//   Padding::pixels(n)  n on each side, from 0 to below the kernel's size, or a window would cover only zeros
struct Padding {
  static const Padding same, symmetric, valid;
  static constexpr Padding pixels(int each_side) { return {Kind::number, each_side}; }

  // What `number` means; valid is the number 0.
  enum class Kind { same, symmetric, number };
  Kind kind = Kind::same;
  int number = 0;  // on each side, for Kind::number

  bool operator==(const Padding&) const = default;
};
inline constexpr Padding Padding::same{Kind::same, 0};
inline constexpr Padding Padding::symmetric{Kind::symmetric, 0};
inline constexpr Padding Padding::valid{Kind::number, 0};

// How a k x k window moves over an image: kernel size, stride and padding, the same along both axes. Shared
// by convolutions and pools, on CPU and GPU.
struct Window {
  int kernel = 3;
  int stride = 1;
  Padding padding = Padding::same;

  // The number of positions of the window along an axis of `in` pixels; 0 if it does not fit.
  int64_t output_size(int64_t in) const {
    if (padding == Padding::same) return (in + stride - 1) / stride;
    const int64_t room = in + 2 * each_side() - kernel;
    return room < 0 ? 0 : room / stride + 1;
  }
  // Zeros before the first pixel of an axis of `in` pixels.
  int64_t pad_before(int64_t in) const {
    if (padding != Padding::same) return each_side();
    const int64_t total = (output_size(in) - 1) * stride + kernel - in;
    return total > 0 ? total / 2 : 0;
  }
  // Zeros after the last pixel; also 0 if the last windows leave pixels out.
  int64_t pad_after(int64_t in) const {
    const int64_t reach = (output_size(in) - 1) * stride + kernel - in - pad_before(in);
    return reach > 0 ? reach : 0;
  }

 private:
  int64_t each_side() const { return padding == Padding::symmetric ? kernel / 2 : padding.number; }
};

}  // namespace fovea
