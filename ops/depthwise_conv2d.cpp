#include "ops/depthwise_conv2d.h"

#include "core/parallel.h"
#include "core/simd.h"
#include "cuda/device/output_epilogue.h"
#include "cuda/kernels/depthwise_conv2d.h"
#include "ops/support/attributes.h"
#include "ops/support/channels.h"
#include "ops/support/depthwise_row.h"
#include "ops/support/dispatch.h"
#include "ops/support/pyramid.h"
#include "ops/support/window.h"

namespace fovea {
namespace {

// The rows of one band: the work that a thread takes at a time, and over which it gathers statistics while
// they are in the cache.
int64_t band_rows(int64_t row_elements) {
  return std::max<int64_t>(1, 16384 / std::max<int64_t>(row_elements, 1));
}

template <int K, int S, class T>
void forward_rows(const T* x, const T* w, T* y, const DepthwiseConv2dDims& d, const DepthwiseLevel& at,
                  Epilogue* epilogue) {
  const int64_t rows = d.batch * at.out.height, band = band_rows(int64_t(at.out.width) * d.channels);
  if (epilogue) epilogue->prepare(rows * at.out.width, d.channels, chunk_count(rows, band));
  parallel_chunks(rows, band, [&](int64_t index, int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t n = r / at.out.height, o = r % at.out.height;
      const auto row = [&](int64_t i) { return x + at.in.pixel(n, i) * d.channels; };
      forward_row<K, S>(row, w, at, d.channels, o, y + at.out.pixel(n, o) * d.channels);
    }
    if (epilogue) epilogue->block(index, y + begin * at.out.width * d.channels, (end - begin) * at.out.width);
  });
  if (epilogue) epilogue->finish();
}

// dx at input row i is a sum over output rows o with o S + a - p = i: the a of i + p's parity, o = (i + p -
// a) / S. The same holds along the row: for each parity e the pixels j = S q + e - p are a correlation over
// dy with the taps e, e + S, ... in descending order.
template <int K, int S, class T>
void input_gradient_rows(const T* w, const T* dy, T* dx, const DepthwiseConv2dDims& d,
                         const DepthwiseLevel& at) {
  const int64_t channels = d.channels, rows = d.batch * at.in.height;
  // turned[e]: (K, taps of parity e, C), rows in descending order as well
  constexpr int max_taps = (K + S - 1) / S;
  std::vector<T> turned[S];
  for (int e = 0; e < S; ++e) {
    const int taps = (K - e + S - 1) / S;
    turned[e].resize(size_t(K * taps * channels));
    for (int a = 0; a < K; ++a)
      for (int t = 0; t < taps; ++t)
        std::copy_n(w + ((K - 1 - a) * K + e + (taps - 1 - t) * S) * channels, channels,
                    turned[e].data() + (a * taps + t) * channels);
  }
  parallel_chunks(rows, band_rows(at.in.width * channels), [&](int64_t, int64_t begin, int64_t end) {
    std::vector<T> weights(static_cast<size_t>(max_taps * max_taps * channels));
    for (int64_t r = begin; r < end; ++r) {
      const int64_t n = r / at.in.height, i = r % at.in.height + at.pad_y;
      const T* sources[5];
      int falling[5], count = 0;  // position of each source row's filter row in `turned`
      for (int a = K - 1; a >= 0; --a) {
        const int64_t o = (i - a) / S;
        if ((i - a) % S != 0 || i < a || o >= at.out.height) continue;
        sources[count] = dy + at.out.pixel(n, o) * d.channels;
        falling[count++] = K - 1 - a;
      }
      for (int e = 0; e < S; ++e) {
        const int taps = (K - e + S - 1) / S;
        for (int a = 0; a < count; ++a)
          std::copy_n(turned[e].data() + falling[a] * taps * channels, taps * channels,
                      weights.data() + a * taps * channels);
        // Pixels j = S q + e - p >= 0 for q >= q0.
        const int64_t q0 = at.pad_x > e ? (at.pad_x - e + S - 1) / S : 0, j0 = S * q0 + e - at.pad_x;
        if (j0 >= at.in.width) continue;
        RowTask<T> task{{},
                        weights.data(),
                        count,
                        at.out.width,
                        channels,
                        q0 - (taps - 1),
                        dx + at.in.pixel(n, r % at.in.height, j0) * channels,
                        (at.in.width - j0 + S - 1) / S,
                        S * channels};
        std::copy_n(sources, count, task.rows);
        if (S == 1)
          correlate_row<K, 1>(task);
        else if (e == 0)
          correlate_row<(K + 1) / 2, 1>(task);
        else
          correlate_row<K / 2, 1>(task);
      }
    }
  });
}

// dw over the output rows [begin, end), for one channel block: all K x K sums in registers.
template <class V, int K, int S, class T>
void weight_gradient_block(const T* x, const T* dy, const T* zeros, T* dw, const DepthwiseConv2dDims& d,
                           const DepthwiseLevel& at, int64_t begin, int64_t end, int64_t c) {
  const int64_t channels = d.channels, width = at.out.width;
  const int64_t inside_begin = std::min<int64_t>(width, (at.pad_x + S - 1) / S);
  const int64_t room = at.in.width - K + at.pad_x;
  const int64_t inside_end = std::max(inside_begin, room < 0 ? 0 : std::min(width, room / S + 1));
  V sum[K][K] = {};
  for (int64_t r = begin; r < end; ++r) {
    const int64_t n = r / at.out.height, o = r % at.out.height, top = o * S - at.pad_y;
    const T* rows[K];  // rows outside the image are rows of zeros
    for (int a = 0; a < K; ++a) {
      const bool outside = top + a < 0 || top + a >= at.in.height;
      rows[a] = (outside ? zeros : x + at.in.pixel(n, top + a) * d.channels) + c;
    }
    const T* gradient = dy + at.out.pixel(n, o) * d.channels + c;
    const auto border = [&](int64_t j) {
      const V g = load<V>(gradient + j * channels);
      const int64_t left = j * S - at.pad_x;
      for (int b = 0; b < K; ++b) {
        if (left + b < 0 || left + b >= at.in.width) continue;
        for (int a = 0; a < K; ++a) sum[a][b] += g * load<V>(rows[a] + (left + b) * channels);
      }
    };
    for (int64_t j = 0; j < inside_begin; ++j) border(j);
    for (int64_t j = inside_begin; j < inside_end; ++j) {
      const V g = load<V>(gradient + j * channels);
      const int64_t left = (j * S - at.pad_x) * channels;
#pragma GCC unroll 8
      for (int a = 0; a < K; ++a)
#pragma GCC unroll 8
        for (int b = 0; b < K; ++b) sum[a][b] += g * load<V>(rows[a] + left + b * channels);
    }
    for (int64_t j = inside_end; j < width; ++j) border(j);
  }
  for (int a = 0; a < K; ++a)
    for (int b = 0; b < K; ++b) store(dw + (a * K + b) * channels + c, sum[a][b]);
}

template <int K, int S, class T>
void weight_gradient_rows(const T* x, const T* dy, T* dw, const DepthwiseConv2dDims& d,
                          const DepthwiseLevel& at) {
  // A chunk's rows stay in the second-level cache while every block of channels passes over them.
  const int64_t channels = d.channels, rows = d.batch * at.out.height, size = K * K * channels;
  const int64_t chunk = std::max<int64_t>(
      std::max<int64_t>(1, 131072 / (S * S * at.out.width * channels + 1)), (rows + 63) / 64);
  const int64_t chunks = chunk_count(rows, chunk);
  std::vector<T> partial(static_cast<size_t>(chunks * size)),
      zeros(static_cast<size_t>(at.in.width * channels));
  parallel_chunks(rows, chunk, [&](int64_t index, int64_t begin, int64_t end) {
    for_channel_blocks<T>(channels, [&]<class V>(int64_t c) {
      weight_gradient_block<V, K, S>(x, dy, zeros.data(), partial.data() + index * size, d, at, begin, end,
                                     c);
    });
  });
  parallel_for(size, 1024, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      T sum = at.in.first == 0 ? 0 : dw[i];  // of the previous levels
      for (int64_t index = 0; index < chunks; ++index) sum += partial[size_t(index * size + i)];
      dw[i] = sum;
    }
  });
}

// Calls f.operator()<K, S>(level) for each level.
template <class F>
void for_levels(const DepthwiseConv2dDims& d, F&& f) {
  with_window(d.kernel, d.stride, [&]<int K, int S>() {
    for (int l = 0; l < d.levels; ++l) f.template operator()<K, S>(d.level[l]);
  });
}

template <class T>
void depthwise_with_epilogue_cpu(const T* x, const T* w, T* y, const DepthwiseConv2dDims& d,
                                 Epilogue* epilogue) {
  for_levels(d,
             [&]<int K, int S>(const DepthwiseLevel& at) { forward_rows<K, S>(x, w, y, d, at, epilogue); });
}
template <class T>
void depthwise_cpu(const T* x, const T* w, T* y, const DepthwiseConv2dDims& d, const OutputEpilogue&) {
  depthwise_with_epilogue_cpu<T>(x, w, y, d, nullptr);
}
template <class T>
void depthwise_input_gradient_cpu(const T* w, const T* dy, T* dx, const DepthwiseConv2dDims& d) {
  for_levels(d, [&]<int K, int S>(const DepthwiseLevel& at) { input_gradient_rows<K, S>(w, dy, dx, d, at); });
}
template <class T>
void depthwise_weight_gradient_cpu(const T* x, const T* dy, T* dw, const DepthwiseConv2dDims& d) {
  for_levels(d,
             [&]<int K, int S>(const DepthwiseLevel& at) { weight_gradient_rows<K, S>(x, dy, dw, d, at); });
}

constexpr const char* op = "depthwise_conv2d";

// The part that both functions share once the sizes are known. `attributes` is what they report to an
// observer.
Tensor convolve(const Tensor& x, const Tensor& w, Tensor y, const DepthwiseConv2dDims& d,
                std::function<Attributes()> attributes, Epilogue* epilogue = nullptr) {
  with_compute_dtype(x, op, [&]<class T>() {
    OutputEpilogue on_cuda;
    if (epilogue && x.device() == Device::cuda)
      if (const int64_t chunks = cuda::depthwise_conv2d_chunks<T>(d)) on_cuda = epilogue->on_cuda(y, chunks);
    if constexpr (!std::is_same_v<T, bfloat16>)
      if (epilogue && x.device() == Device::cpu && !is_dry_run())
        return depthwise_with_epilogue_cpu<T>(x.data<T>(), w.data<T>(), y.data<T>(), d, epilogue);
    on<T>(x.device(), depthwise_cpu<Accumulator<T>>, cuda::depthwise_conv2d<T>)(
        x.data<T>(), w.data<Accumulator<T>>(), y.data<T>(), d, on_cuda);
  });
  const bool x_needs = x.requires_grad(), w_needs = w.requires_grad();
  return record(y, {op, std::move(attributes)}, {x, w},
                [x = x.detach(), w = w.detach(), d, x_needs, w_needs](const Tensor& dy) -> Tensors {
                  Tensor dx, dw;
                  with_compute_dtype(x, op, [&]<class T>() {
                    if (w_needs) {
                      dw = empty_like(w);
                      on<T>(x.device(), depthwise_weight_gradient_cpu<Accumulator<T>>,
                            cuda::depthwise_conv2d_weight_gradient<T>)(x.data<T>(), dy.data<T>(),
                                                                       dw.data<Accumulator<T>>(), d);
                    }
                    if (x_needs) {
                      dx = empty_like(x);
                      on<T>(x.device(), depthwise_input_gradient_cpu<Accumulator<T>>,
                            cuda::depthwise_conv2d_input_gradient<T>)(w.data<Accumulator<T>>(), dy.data<T>(),
                                                                      dx.data<T>(), d);
                    }
                  });
                  return {dx, dw};
                });
}

void require_arguments(const Tensor& x, const Tensor& w, Window window) {
  const int64_t of_image = x.numel() / std::max<int64_t>(x.size(0), 1);
  require(of_image < int64_t(1) << 31,
          "[depthwise_conv2d] x {} has {} numbers an image: at most 2^31 - 1 fit", x.shape(), of_image);
  const int64_t channels = x.size(x.rank() - 1);
  if (w.rank() == 3) require_channels(op, x, "w", w.shape(), w.size(2));
  require(
      w.shape() == Shape{window.kernel, window.kernel, channels} && w.dtype() == accumulator_dtype(x.dtype()),
      "[depthwise_conv2d] w must be {} of {}x{}x{} for x {}, got {} of {}", accumulator_dtype(x.dtype()),
      window.kernel, window.kernel, channels, x.shape(), w.dtype(), w.shape());
  require_one_device(op, {x, w});
  with_window(window.kernel, window.stride, []<int, int>() {});
  require_window(op, window);
}

}  // namespace

Tensor depthwise_conv2d(const Tensor& x, const Tensor& w, Window window, Epilogue* epilogue) {
  require(x.rank() == 4, "[depthwise_conv2d] x is {}: it must be (N, H, W, C)", x.shape());
  require_arguments(x, w, window);
  if (x.numel() > 0) require_window_fits(op, x, window);
  const DepthwiseConv2dDims d{x.size(0), x.size(3), window, {{{x.size(1), x.size(2)}}}};
  const FeatureMap& out = d.level[0].out;
  return convolve(
      x, w, Tensor({d.batch, out.height, out.width, x.size(3)}, x.dtype(), x.device()), d,
      [=] { return attributes(window); }, epilogue);
}

Tensor depthwise_conv2d(const Tensor& x, const Tensor& w, const PyramidShape& shape) {
  require_pyramid(op, x, shape);
  const Window window{int(w.rank() > 0 ? w.size(0) : 0), 1, Padding::symmetric};
  require_arguments(x, w, window);
  return convolve(x, w, empty_like(x), {x.size(0), x.size(2), window, shape}, [=] {
    Attributes result = attributes(window);
    result["levels"] = name(shape);
    return result;
  });
}

}  // namespace fovea
