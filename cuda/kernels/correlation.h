#pragma once
#include "cuda/kernels/conv2d.h"
#include "cuda/platform.h"

namespace fovea {

// A convolution and the gradient of its input are both correlations: an output pixel is a sum over the pixels
// of a patch of the source, each times a tap of the filter. CPU and GPU compute both with the same loops.

// One axis of it: output i is the sum over t < taps of source[first + i * step + t] * filter[filter_first + t
// * filter_step], zero outside the source, and is written at out_first + i * out_step of its axis.
struct CorrelationAxis {
  int source = 0, outputs = 0, taps = 0;
  int first = 0, step = 1;
  int filter_first = 0, filter_step = 1;
  int out_size = 0, out_first = 0, out_step = 1;

  // y at o takes w[a] x[o s + a - p].
  static CorrelationAxis forward(const Window& window, int64_t in) {
    CorrelationAxis axis;
    axis.source = int(in);
    axis.outputs = axis.out_size = int(window.output_size(in));
    axis.taps = window.kernel;
    axis.first = -int(window.pad_before(in));
    axis.step = window.stride;
    return axis;
  }

  // dx at i takes w[a] dy[o] with o s + a - p = i. Write i + p = s q + e with 0 <= e < s: then a = e + s t
  // and o = q - t, for t from 0 on. So the pixels of one remainder e are a correlation over dy with step 1
  // and every s-th tap, in descending order; if the kernel is smaller than the stride, some remainders have
  // no tap, and their pixels are 0.
  static CorrelationAxis input_gradient(const Window& window, int64_t in, int remainder) {
    const int stride = window.stride, pad = int(window.pad_before(in));
    const int skipped =
        pad > remainder ? (pad - remainder + stride - 1) / stride : 0;  // q of pixels before 0
    CorrelationAxis axis;
    axis.source = int(window.output_size(in));
    axis.taps = remainder < window.kernel ? (window.kernel - remainder + stride - 1) / stride : 0;
    axis.out_size = int(in);
    axis.out_step = stride;
    axis.out_first = stride * skipped + remainder - pad;
    axis.outputs = axis.out_first < in ? (axis.out_size - axis.out_first + stride - 1) / stride : 0;
    axis.first = skipped - (axis.taps - 1);
    axis.filter_first = remainder + stride * (axis.taps - 1);
    axis.filter_step = -stride;
    return axis;
  }
};

// Source (batch, down.source, across.source, channels), output (batch, down.out_size, across.out_size,
// out_channels).
struct Correlation {
  int64_t batch = 0;
  int channels = 0, out_channels = 0, kernel = 0;
  CorrelationAxis down, across;

  // The convolution itself: the source is x, the output y.
  static Correlation forward(const Conv2dDims& d) {
    return {d.batch,
            int(d.in_channels),
            int(d.out_channels),
            d.window.kernel,
            CorrelationAxis::forward(d.window, d.in_height),
            CorrelationAxis::forward(d.window, d.in_width)};
  }
  // Calls f(correlation) for the stride * stride correlations that together write all of dx.
  template <class F>
  static void each_input_gradient(const Conv2dDims& d, F&& f) {
    for (int i = 0; i < d.window.stride; ++i)
      for (int j = 0; j < d.window.stride; ++j) {
        const Correlation c{d.batch,
                            int(d.out_channels),
                            int(d.in_channels),
                            d.window.kernel,
                            CorrelationAxis::input_gradient(d.window, d.in_height, i),
                            CorrelationAxis::input_gradient(d.window, d.in_width, j)};
        if (c.pixels() > 0) f(c);
      }
  }

  HD int taps() const { return down.taps * across.taps; }
  HD int64_t sums() const { return int64_t(taps()) * channels; }               // terms of one output's sum
  HD int64_t pixels() const { return batch * down.outputs * across.outputs; }  // of the output
  // The tap of the (kernel x kernel) filter that belongs to tap t of a patch.
  HD int filter_tap(int t) const {
    return (down.filter_first + t / across.taps * down.filter_step) * kernel + across.filter_first +
           t % across.taps * across.filter_step;
  }
};

// An output pixel: its number in the order (image, row, column), where its patch begins, and where it is
// written.
struct CorrelationPixel {
  int64_t image;
  int row, column;  // of the source; may lie outside
  int64_t out;      // pixels before it in the output
  HD CorrelationPixel(const Correlation& c, int64_t index) {
    const unsigned across = unsigned(c.across.outputs), down = unsigned(c.down.outputs), i = unsigned(index);
    const int x = int(i % across), y = int(i / across % down);
    image = i / across / down;
    row = c.down.first + y * c.down.step;
    column = c.across.first + x * c.across.step;
    out = (image * c.down.out_size + c.down.out_first + y * c.down.out_step) * c.across.out_size +
          c.across.out_first + x * c.across.out_step;
  }
};

}  // namespace fovea
