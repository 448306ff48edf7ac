#include "ops/conv2d.h"

#include "core/parallel.h"
#include "core/simd.h"
#include "cuda/kernels/conv2d.h"
#include "ops/arithmetic.h"
#include "ops/shape_ops.h"
#include "ops/support/attributes.h"
#include "ops/support/channels.h"
#include "ops/support/dispatch.h"
#include "ops/support/patch_products.h"
#include "ops/support/window.h"

namespace fovea {
namespace {

// Two algorithms: strips of pixels with their sums in registers, made for the three channels of a network's
// first convolution, and patches with matrix products (ops/support/patch_products.h) for all others.
bool has_few_channels(const Conv2dDims& d) { return d.in_channels <= 4; }

// The part of a window that lies inside the image, along one axis: taps [begin, end) of the output position
// that starts at `first`.
struct Inside {
  int64_t begin, end;
  Inside(int64_t first, int kernel, int64_t size)
      : begin(std::max<int64_t>(0, -first)), end(std::max(begin, std::min<int64_t>(kernel, size - first))) {}
};

// PIXELS output pixels x one block of output channels. In NHWC the b and c of a filter row form one
// contiguous run of taps, in the image and in the filter.
template <class V, int PIXELS, class T>
[[gnu::always_inline]] inline void pixels(const T* const* rows, int row_count, const T* const* filters,
                                          int64_t taps, int64_t step, T* out, int64_t out_step) {
  V sum[PIXELS] = {};
  for (int a = 0; a < row_count; ++a)
    for (int64_t t = 0; t < taps; ++t) {
      const V f = load<V>(filters[a] + t * out_step);
#pragma GCC unroll 8
      for (int p = 0; p < PIXELS; ++p) sum[p] += rows[a][p * step + t] * f;
    }
  for (int p = 0; p < PIXELS; ++p) store(out + p * out_step, sum[p]);
}

// PIXELS neighbouring output pixels j.. of one row whose windows have the columns `across` of the filter
// inside the image.
template <int PIXELS, class T>
void strip(const T* image, const T* w, T* out_row, const Conv2dDims& d, Inside down, int64_t top,
           Inside across, int64_t left, int64_t j) {
  const int count = int(down.end - down.begin);
  std::vector<const T*> rows(static_cast<size_t>(count)), filters(static_cast<size_t>(count));
  const int64_t taps = (across.end - across.begin) * d.in_channels;
  for (int a = 0; a < count; ++a)
    rows[size_t(a)] = image + (top + down.begin + a) * d.in_row() + (left + across.begin) * d.in_channels;
  for_channel_blocks<T>(d.out_channels, [&]<class V>(int64_t c) {
    for (int a = 0; a < count; ++a)
      filters[size_t(a)] =
          w + ((down.begin + a) * d.window.kernel + across.begin) * d.in_channels * d.out_channels + c;
    pixels<V, PIXELS>(rows.data(), count, filters.data(), taps, d.window.stride * d.in_channels,
                      out_row + j * d.out_channels + c, d.out_channels);
  });
}

template <class T>
void conv2d_by_strips(const T* x, const T* w, T* y, const Conv2dDims& d, Epilogue* epilogue) {
  const int64_t rows = d.batch * d.out_height(), band = std::max<int64_t>(1, 16384 / d.out_row());
  const int64_t pad_y = d.window.pad_before(d.in_height), pad_x = d.window.pad_before(d.in_width);
  const int kernel = d.window.kernel, stride = d.window.stride;
  if (epilogue) epilogue->prepare(rows * d.out_width(), d.out_channels, chunk_count(rows, band));
  parallel_chunks(rows, band, [&](int64_t index, int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* image = x + r / d.out_height() * d.in_height * d.in_row();
      const int64_t top = r % d.out_height() * stride - pad_y;
      const Inside down(top, kernel, d.in_height);
      T* out = y + r * d.out_row();
      constexpr int wide = 8;
      for (int64_t j = 0; j < d.out_width();) {
        const int64_t left = j * stride - pad_x, last = (j + wide - 1) * stride - pad_x;
        if (left >= 0 && last + kernel <= d.in_width && j + wide <= d.out_width()) {
          strip<wide>(image, w, out, d, down, top, Inside(left, kernel, d.in_width), left, j);
          j += wide;
        } else {
          strip<1>(image, w, out, d, down, top, Inside(left, kernel, d.in_width), left, j);
          ++j;
        }
      }
    }
    if (epilogue) epilogue->block(index, y + begin * d.out_row(), (end - begin) * d.out_width());
  });
  if (epilogue) epilogue->finish();
}

// dw of TAPS neighbouring taps of filter row a, one block of output channels, over output rows [begin, end).
template <class V, int TAPS, class T>
void weight_gradient_taps(const T* x, const T* dy, T* dw, const Conv2dDims& d, int64_t begin, int64_t end,
                          int a, int b, int64_t c0, int64_t o) {
  const int64_t pad_y = d.window.pad_before(d.in_height), pad_x = d.window.pad_before(d.in_width);
  const int64_t stride = d.window.stride, step = stride * d.in_channels;
  // Output pixels whose tap b lies inside the image.
  const int64_t j0 = b < pad_x ? (pad_x - b + stride - 1) / stride : 0;
  const int64_t reach = d.in_width - 1 + pad_x - b;
  const int64_t j1 = reach < 0 ? 0 : std::min(d.out_width(), reach / stride + 1);
  V sum[TAPS] = {};
  for (int64_t r = begin; r < end; ++r) {
    const int64_t n = r / d.out_height(), i = r % d.out_height() * stride + a - pad_y;
    if (i < 0 || i >= d.in_height) continue;
    const T* in = x + (n * d.in_height + i) * d.in_row() + (b - pad_x) * d.in_channels + c0;
    const T* g = dy + r * d.out_row() + o;
    for (int64_t j = j0; j < j1; ++j) {
      const V gradient = load<V>(g + j * d.out_channels);
#pragma GCC unroll 8
      for (int t = 0; t < TAPS; ++t) sum[t] += in[j * step + t] * gradient;
    }
  }
  T* out = dw + ((a * d.window.kernel + b) * d.in_channels + c0) * d.out_channels + o;
  for (int t = 0; t < TAPS; ++t) store(out + t * d.out_channels, sum[t]);
}

template <class T>
void weight_gradient_by_strips(const T* x, const T* dy, T* dw, const Conv2dDims& d) {
  const int64_t rows = d.batch * d.out_height(), size = d.window.kernel * d.taps() * d.out_channels;
  const int64_t chunk = std::max<int64_t>(std::max<int64_t>(1, 65536 / (d.out_row() + 1)), (rows + 63) / 64);
  const int64_t chunks = chunk_count(rows, chunk);
  std::vector<T> partial(static_cast<size_t>(chunks * size));
  parallel_chunks(rows, chunk, [&](int64_t index, int64_t begin, int64_t end) {
    T* into = partial.data() + index * size;
    for (int a = 0; a < d.window.kernel; ++a)
      for (int b = 0; b < d.window.kernel; ++b)
        for_channel_blocks<T>(d.out_channels, [&]<class V>(int64_t o) {
          int64_t c = 0;
          for (; c + 3 <= d.in_channels; c += 3)
            weight_gradient_taps<V, 3>(x, dy, into, d, begin, end, a, b, c, o);
          for (; c < d.in_channels; ++c) weight_gradient_taps<V, 1>(x, dy, into, d, begin, end, a, b, c, o);
        });
  });
  for (int64_t i = 0; i < size; ++i) {
    T sum = 0;
    for (int64_t index = 0; index < chunks; ++index) sum += partial[size_t(index * size + i)];
    dw[i] = sum;
  }
}

template <class T>
void conv2d_with_epilogue_cpu(const T* x, const T* w, T* y, const Conv2dDims& d, Epilogue* epilogue) {
  (has_few_channels(d) ? conv2d_by_strips<T> : conv2d_by_products<T>)(x, w, y, d, epilogue);
}
template <class T>
void conv2d_cpu(const T* x, const T* w, T* y, const Conv2dDims& d) {
  conv2d_with_epilogue_cpu<T>(x, w, y, d, nullptr);
}
template <class T>
void conv2d_weight_gradient_cpu(const T* x, const T* dy, T* dw, const Conv2dDims& d) {
  // Strips read an image once for each tap, which is too often for a 7x7 filter.
  const bool in_strips = has_few_channels(d) && d.window.kernel <= 3;
  (in_strips ? weight_gradient_by_strips<T> : weight_gradient_by_products<T>)(x, dy, dw, d);
}

// on<T>() of one of the three. A dry run counts the library's workspace, larger than many tensors.
template <class T, class Cpu, class Cuda, class... Arguments>
void convolve(Device device, const Conv2dDims& d, Cpu* cpu, Cuda* cuda, Arguments... arguments) {
  if (is_dry_run() && device == Device::cuda)
    const Storage workspace(cuda::conv2d_library_bytes<T>(d), device);
  on<T>(device, cpu, cuda)(arguments..., d);
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& w, Window window, Epilogue* epilogue) {
  require(x.rank() == 4 && w.rank() == 4,
          "[conv2d] x is {}, w is {}: they must be (N, H, W, Cin) and (k, k, Cin, Cout)", x.shape(),
          w.shape());
  require_window("conv2d", window);
  require_channels("conv2d", x, "w", w.shape(), w.size(2));
  require(w.size(0) == window.kernel && w.size(1) == window.kernel && w.size(2) == x.size(3) &&
              w.dtype() == accumulator_dtype(x.dtype()),
          "[conv2d] w must be {} of {}x{}x{}xCout for x {}, got {} of {}", accumulator_dtype(x.dtype()),
          window.kernel, window.kernel, x.size(3), x.shape(), w.dtype(), w.shape());
  require_one_device("conv2d", {x, w});
  const Conv2dDims d{x.size(0), x.size(1), x.size(2), x.size(3), w.size(3), window};
  require(d.in_channels > 0 && d.out_channels > 0, "[conv2d] x is {} and w {}: both need channels", x.shape(),
          w.shape());
  require_window_fits("conv2d", x, window);
  Tensor y({d.batch, d.out_height(), d.out_width(), d.out_channels}, x.dtype(), x.device());
  with_compute_dtype(x, "conv2d", [&]<class T>() {
    if constexpr (!std::is_same_v<T, bfloat16>)
      if (epilogue && x.device() == Device::cpu && !is_dry_run())
        return conv2d_with_epilogue_cpu<T>(x.data<T>(), w.data<T>(), y.data<T>(), d, epilogue);
    convolve<T>(x.device(), d, conv2d_cpu<Accumulator<T>>, cuda::conv2d<T>, x.data<T>(),
                w.data<Accumulator<T>>(), y.data<T>());
  });
  const bool x_needs = x.requires_grad(), w_needs = w.requires_grad();
  return record(y, {"conv2d", [&] { return attributes(window); }}, {x, w},
                [x = x.detach(), w = w.detach(), d, x_needs, w_needs](const Tensor& dy) -> Tensors {
                  Tensor dx, dw;
                  with_compute_dtype(x, "conv2d", [&]<class T>() {
                    if (w_needs) {
                      dw = empty_like(w);
                      convolve<T>(x.device(), d, conv2d_weight_gradient_cpu<Accumulator<T>>,
                                  cuda::conv2d_weight_gradient<T>, x.data<T>(), dy.data<T>(),
                                  dw.data<Accumulator<T>>());
                    }
                    if (x_needs) {
                      dx = empty_like(x);
                      convolve<T>(x.device(), d, input_gradient_by_products<Accumulator<T>>,
                                  cuda::conv2d_input_gradient<T>, w.data<Accumulator<T>>(), dy.data<T>(),
                                  dx.data<T>());
                    }
                  });
                  return {dx, dw};
                });
}

Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& bias, Window window) {
  const Tensor y = conv2d(x, w, window);
  require(bias.shape() == Shape{w.size(3)} && bias.dtype() == w.dtype(),
          "[conv2d] bias must be {} of {}, got {} of {}", w.dtype(), Shape{w.size(3)}, bias.dtype(),
          bias.shape());
  return add(y, cast(bias, y.dtype()));
}

}  // namespace fovea
