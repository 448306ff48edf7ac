#pragma once
// For the checks of chapter 6: sizes with TensorFlow's "SAME" padding, and Fovea's own results.
#include <fovea/ops/depthwise_conv2d.h>

#include "check.h"
#include "depthwise_sizes.h"

namespace fovea::learn {

inline DepthwiseSizes depthwise_sizes(int batch, int height, int width, int channels, int kernel,
                                      int stride) {
  const Window window{kernel, stride, Padding::same};
  return {batch,
          height,
          width,
          channels,
          kernel,
          stride,
          int(window.output_size(height)),
          int(window.output_size(width)),
          int(window.pad_before(height)),
          int(window.pad_before(width))};
}

inline Shape input_shape(const DepthwiseSizes& s) { return {s.batch, s.height, s.width, s.channels}; }
inline Shape filter_shape(const DepthwiseSizes& s) { return {s.kernel, s.kernel, s.channels}; }
inline Shape output_shape(const DepthwiseSizes& s) {
  return {s.batch, s.out_height, s.out_width, s.channels};
}

inline std::string name(const DepthwiseSizes& s) {
  return fmt::format("{} image{} of {} x {} with {} channel{}, kernel {}, stride {}", s.batch,
                     s.batch == 1 ? "" : "s", s.height, s.width, s.channels, s.channels == 1 ? "" : "s",
                     s.kernel, s.stride);
}

// In float64.
struct DepthwiseResult {
  std::vector<double> y, dx, dw;
};
inline DepthwiseResult depthwise_by_fovea(const std::vector<double>& x, const std::vector<double>& w,
                                          const std::vector<double>& dy, const DepthwiseSizes& s) {
  const Tensor input = from_values(input_shape(s), x, DType::float64).set_requires_grad(),
               filter = from_values(filter_shape(s), w, DType::float64).set_requires_grad();
  const Tensor y = depthwise_conv2d(input, filter, {s.kernel, s.stride, Padding::same});
  y.backward(from_values(y.shape(), dy, DType::float64));
  return {y.values(), input.grad().values(), filter.grad().values()};
}

inline std::vector<double> in_double(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

}  // namespace fovea::learn
