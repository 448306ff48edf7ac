// Exercise 18: depthwise convolution, by its definition
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

// A k x k window moves over a row of `size` pixels in steps of `stride`. With "SAME" padding it has
// ceil(size / stride) positions. For the last one to fit, the row takes
//   max((positions - 1) stride + k - size, 0)
// zeros, the smaller half of them before the first pixel, the rest behind the last.
inline int64_t output_size(int64_t size, int64_t stride) { return (size + stride - 1) / stride; }
inline int64_t zeros_before(int64_t size, int64_t k, int64_t stride) {
  const int64_t zeros = (output_size(size, stride) - 1) * stride + k - size;
  return std::max<int64_t>(zeros, 0) / 2;
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
          double sum = 0;
          for (int64_t a = 0; a < k; ++a)
            for (int64_t b = 0; b < k; ++b) {
              const int64_t row = i * stride + a - p, column = j * stride + b - q;
              if (row < 0 || row >= in.height || column < 0 || column >= in.width) continue;
              sum += x[in.index(n, row, column, c)] * w[(a * k + b) * in.channels + c];
            }
          y[out.index(n, i, j, c)] = sum;
        }
  return y;
}
