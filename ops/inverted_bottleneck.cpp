#include "ops/inverted_bottleneck.h"

#include <algorithm>
#include <memory>

#include "core/parallel.h"
#include "core/simd.h"
#include "ops/activation.h"
#include "ops/matmul.h"
#include "ops/support/channels.h"
#include "ops/support/depthwise_row.h"
#include "ops/support/dispatch.h"
#include "ops/support/gemm.h"
#include "ops/support/window.h"

namespace fovea {
namespace {

// Copies a matrix (rows, width) to or from columns of one whose rows are longer.
template <class T>
void copy_columns(const T* from, int64_t from_row, int64_t rows, int64_t width, T* to, int64_t to_row) {
  for (int64_t i = 0; i < rows; ++i)
    for_channel_blocks<T>(
        width, [&]<class V>(int64_t c) { store(to + i * to_row + c, load<V>(from + i * from_row + c)); });
}

// The work that a thread takes at a time: output rows [first, last) and channels [channel, channel + width)
// of image n.
struct Piece {
  int64_t n, first, last, channel, width;
};

// y = a piece of the output of the depthwise convolution and its norm; sums (width): over its pixels
template <int K, int S, class T>
void expand_and_convolve(const T* x, int64_t in_channels, const InvertedBottleneck& b,
                         const DepthwiseConv2dDims& d, const Piece& p, T* y, double* sums) {
  constexpr int64_t cached = (1 << 18) / int64_t(sizeof(T));  // elements: a quarter of the second-level cache
  const DepthwiseLevel& at = d.level[0];
  const int64_t in_row = at.in.width * p.width, out_row = at.out.width * p.width;
  const int64_t band = std::clamp<int64_t>((cached / in_row - K) / S + 1, 1, p.last - p.first);
  const bool expands = b.expand_norm.has_value();
  const auto scratch = [](int64_t count) { return std::make_unique_for_overwrite<T[]>(size_t(count)); };
  const auto rows = scratch((K + (band - 1) * S) * in_row), out = scratch(band * out_row);
  const auto filter = scratch(K * K * p.width);
  copy_columns(b.w_depthwise.data<T>() + p.channel, d.channels, K * K, p.width, filter.get(), p.width);
  const EvaluationNorm norm = b.depthwise_norm.of_channels(p.channel, p.channel + p.width);
  std::optional<EvaluationNorm> expand_norm;
  if (expands) expand_norm = b.expand_norm->of_channels(p.channel, p.channel + p.width);
  int64_t held = 0, made = 0;  // `rows` has the input rows [held, made)
  for (int64_t o = p.first; o < p.last; o += band) {
    const int64_t count = std::min(band, p.last - o), top = o * S - at.pad_y;
    const int64_t begin = std::max<int64_t>(0, top), kept = std::max<int64_t>(0, made - begin);
    const int64_t end = std::min<int64_t>(at.in.height, top + (count - 1) * S + K);
    if (kept > 0) std::copy_n(rows.get() + (begin - held) * in_row, kept * in_row, rows.get());
    const int64_t pixels = (end - begin - kept) * at.in.width;
    const T* from = x + at.in.pixel(p.n, begin + kept) * in_channels;
    T* fresh = rows.get() + kept * in_row;
    if (expands) {
      block_product(pixels, p.width, in_channels, from, b.w_expand.data<T>() + p.channel, fresh, d.channels);
      expand_norm->block(0, fresh, pixels);
    } else {
      copy_columns(from + p.channel, in_channels, pixels, p.width, fresh, p.width);
    }
    held = begin, made = end;
    const auto row = [&](int64_t i) { return rows.get() + (i - begin) * in_row; };
    for (int64_t r = 0; r < count; ++r)
      forward_row<K, S>(row, filter.get(), at, p.width, o + r, out.get() + r * out_row);
    norm.apply_and_sum(out.get(), count * at.out.width, y + at.out.pixel(p.n, o) * d.channels + p.channel,
                       d.channels, sums);
  }
}

// y (N, P', C), and its means over the pixels of each image. Pieces depend only on sizes: there are 8 or
// more, of about 48 channels, three registers of AVX-512.
template <class T>
void convolved(const T* x, int64_t in_channels, const InvertedBottleneck& b, const DepthwiseConv2dDims& d,
               T* y, T* means) {
  const int64_t width = chunk_count(chunk_count(d.channels, chunk_count(d.channels, 48)), 16) * 16;
  const int64_t columns = chunk_count(d.channels, width), height = d.level[0].out.height;
  const int64_t whole = std::max<int64_t>(1, d.batch * columns),
                wanted = whole >= 8 ? 1 : 2 * chunk_count(4, whole);
  const int64_t part = chunk_count(height, wanted), parts = chunk_count(height, part);
  std::vector<double> sums(static_cast<size_t>(d.batch * parts * d.channels));
  parallel_chunks(d.batch * parts * columns, 1, [&](int64_t task, int64_t, int64_t) {
    const int64_t row = task / columns, first = row % parts * part, channel = task % columns * width;
    const Piece piece{row / parts, first, std::min(first + part, height), channel,
                      std::min(width, d.channels - channel)};
    with_window(d.kernel, d.stride, [&]<int K, int S>() {
      expand_and_convolve<K, S>(x, in_channels, b, d, piece, y, sums.data() + row * d.channels + channel);
    });
  });
  const double pixels = double(height) * d.level[0].out.width;
  for (int64_t i = 0; i < d.batch * d.channels; ++i) {
    double sum = 0;
    for (int64_t q = 0; q < parts; ++q)
      sum += sums[size_t((i / d.channels * parts + q) * d.channels + i % d.channels)];
    means[i] = T(sum / pixels);
  }
}

// y (N, P, Cout) = norm((x * gate) w), plus `shortcut` unless null; x (N, P, C), which it may overwrite, gate
// (N, C). An image's gate multiplies x in place or the rows of a copy of w, whichever is smaller.
template <class T>
void project(T* x, const T* gate, const InvertedBottleneck& b, const T* shortcut, T* y, int64_t batch,
             int64_t pixels) {
  const int64_t channels = b.w_project.size(0), out = b.w_project.size(1);
  const T* w = b.w_project.data<T>();
  EvaluationNorm norm = b.project_norm;
  const int64_t block = std::min(pixels, gemm_block_rows(batch * pixels, out, channels)),
                blocks = chunk_count(pixels, block);
  parallel_chunks(batch * blocks, 1, [&](int64_t task, int64_t, int64_t) {
    const int64_t n = task / blocks, first = task % blocks * block, rows = std::min(block, pixels - first);
    const int64_t begin = n * pixels + first;
    T *from = x + begin * channels, *to = y + begin * out;
    const T* factor = gate + n * channels;
    const bool gates_w = pixels > out;
    const auto gated = std::make_unique_for_overwrite<T[]>(gates_w ? size_t(channels * out) : 0);
    if (gates_w) {
      for (int64_t c = 0; c < channels; ++c)
        for (int64_t o = 0; o < out; ++o) gated[c * out + o] = w[c * out + o] * factor[c];
    } else {
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t c = 0; c < channels; ++c) from[i * channels + c] *= factor[c];
    }
    block_product(rows, out, channels, from, gates_w ? gated.get() : w, to);
    norm.block(0, to, rows);
    if (shortcut)
      for (int64_t i = 0; i < rows * out; ++i) to[i] += shortcut[begin * out + i];
  });
}

}  // namespace

Tensor inverted_bottleneck(const Tensor& x, const InvertedBottleneck& b) {
  require_no_gradient("inverted_bottleneck", "x", x);
  require(x.rank() == 4 && x.device() == Device::cpu && EvaluationNorm::takes(),
          "[inverted_bottleneck] x is {} on {}: give (N, H, W, Cin) on the CPU, under NoGrad and with no "
          "observer",
          x.shape(), name(x.device()));
  const Tensor& first = b.expand_norm ? b.w_expand : b.w_reduce;
  require_channels("inverted_bottleneck", x, b.expand_norm ? "w_expand" : "w_reduce", first.shape(),
                   first.size(0));
  require_window_fits("inverted_bottleneck", x, b.window);
  const int64_t channels = b.w_depthwise.size(2);
  const DepthwiseConv2dDims d{x.size(0), channels, b.window, {{{x.size(1), x.size(2)}}}};
  const FeatureMap& map = d.level[0].out;
  const Tensor wide({d.batch, map.height, map.width, channels}, x.dtype(), x.device());
  const Tensor means({d.batch, channels}, x.dtype(), x.device());
  Tensor y({d.batch, map.height, map.width, b.w_project.size(1)}, x.dtype(), x.device());
  with_compute_dtype(x, "inverted_bottleneck", [&]<class T>() {
    if constexpr (!std::is_same_v<T, bfloat16>) {
      convolved(x.data<T>(), x.size(3), b, d, wide.data<T>(), means.data<T>());
      const Tensor gate =
          sigmoid(linear(swish(linear(means, b.w_reduce, b.b_reduce)), b.w_excite, b.b_excite));
      project(wide.data<T>(), gate.data<T>(), b, b.shortcut ? x.data<T>() : nullptr, y.data<T>(), d.batch,
              int64_t(map.height) * map.width);
    }
  });
  return y;
}

}  // namespace fovea
