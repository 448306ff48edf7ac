// Exercise 18: depthwise convolution, by its definition
//
// Goal:      Filter each channel of an image with its own k x k filter, with "SAME" padding.
// Builds on: 1
// Minutes:   30
// Source:    arXiv 1704.04861, section 3.1 (depthwise convolution); cuda/kernels/window.h (the padding of
//            TensorFlow); the kernel depthwise_naive in cuda/kernels/depthwise_conv2d.cu
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

// A k x k window moves over a row of `size` pixels in steps of `stride`. With "SAME" padding it has
// ceil(size / stride) positions. For the last one to fit, the row takes
//   max((positions - 1) stride + k - size, 0)
// zeros, the smaller half of them before the first pixel, the rest behind the last.
inline int64_t output_size(int64_t size, int64_t stride) {
  // ---- your code: 1 line ----
  return size / stride;
  // ---- end ----
}
inline int64_t zeros_before(int64_t size, int64_t k, int64_t stride) {
  // ---- your code: 2 lines ----
  (void)size, (void)stride;
  return k / 2;
  // ---- end ----
}

// Images (batch, height, width, channels), in this order in memory ("NHWC"): the channels of a pixel lie side
// by side.
struct Images {
  int64_t batch, height, width, channels;
  int64_t index(int64_t image, int64_t row, int64_t column, int64_t channel) const {
    return ((image * height + row) * width + column) * channels + channel;
  }
};

// w is (k, k, channels). With p zeros before the first row and q before the first column
//   y[n, i, j, c] = sum over a, b of x[n, i stride + a - p, j stride + b - q, c] w[a, b, c],
// a and b from 0 to k - 1; x is 0 outside of the image.
inline std::vector<double> depthwise(const std::vector<double>& x, const Images& in,
                                     const std::vector<double>& w, int64_t k, int64_t stride) {
  const Images out{in.batch, output_size(in.height, stride), output_size(in.width, stride), in.channels};
  const int64_t p = zeros_before(in.height, k, stride), q = zeros_before(in.width, k, stride);
  std::vector<double> y(out.index(out.batch, 0, 0, 0));
  for (int64_t n = 0; n < out.batch; ++n)
    for (int64_t i = 0; i < out.height; ++i)
      for (int64_t j = 0; j < out.width; ++j)
        for (int64_t c = 0; c < out.channels; ++c) {
          // ---- your code: 6 to 9 lines ----
          (void)x, (void)w, (void)p, (void)q;
          y[out.index(n, i, j, c)] = 0;
          // ---- end ----
        }
  return y;
}
