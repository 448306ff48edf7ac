// Exercise 28: halve a feature map, and go back
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

// A feature map of one channel, height x width, row by row. Max pooling with a 3 x 3 window, stride 2 and
// "SAME" padding gives ceil(height / 2) x ceil(width / 2) outputs: window_start() says where each window
// begins, along either axis; it may begin at -1, and reach beyond the end. What lies outside the map never is
// the largest. dy has one number for each output. Return the gradient of the input: each dy goes to the
// largest element of its window, the first of equals (row by row), and where windows share an element the
// gradients add up.
inline int64_t window_start(int64_t output, int64_t size) {
  const int64_t outputs = (size + 1) / 2, padding = std::max<int64_t>(0, (outputs - 1) * 2 + 3 - size);
  return output * 2 - padding / 2;
}
inline std::vector<double> max_pool_backward(const std::vector<double>& x, int64_t height, int64_t width,
                                             const std::vector<double>& dy) {
  const int64_t out_height = (height + 1) / 2, out_width = (width + 1) / 2;
  std::vector<double> dx(x.size());
  for (int64_t oy = 0; oy < out_height; ++oy)
    for (int64_t ox = 0; ox < out_width; ++ox) {
      const int64_t top = window_start(oy, height), left = window_start(ox, width);
      int64_t largest = -1;
      for (int64_t y = std::max<int64_t>(0, top); y < std::min(height, top + 3); ++y)
        for (int64_t x_at = std::max<int64_t>(0, left); x_at < std::min(width, left + 3); ++x_at) {
          const int64_t i = y * width + x_at;
          if (largest < 0 || x[std::size_t(i)] > x[std::size_t(largest)])
            largest = i;  // > keeps the first of equals
        }
      dx[std::size_t(largest)] += dy[std::size_t(oy * out_width + ox)];
    }
  return dx;
}
