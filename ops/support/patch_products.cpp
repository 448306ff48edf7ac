#include "ops/support/patch_products.h"

#include <algorithm>
#include <memory>

#include "core/parallel.h"
#include "core/storage.h"
#include "cuda/kernels/correlation.h"
#include "ops/support/gemm.h"

namespace fovea {
namespace {

// Uninitialised scratch space of a thread: a vector would write zeros first.
template <class T>
std::unique_ptr<T[]> scratch(int64_t count) {
  return std::make_unique_for_overwrite<T[]>(size_t(count));
}

// patches (end - begin, taps, channels): taps [first_tap, last_tap) of output pixels [begin, end). Taps side
// by side in a row of the filter are also side by side in the source and are copied together.
template <class T>
void gather_patches(const T* source, const Correlation& c, int64_t begin, int64_t end, int first_tap,
                    int last_tap, T* patches) {
  for (int64_t index = begin; index < end; ++index) {
    const CorrelationPixel pixel(c, index);
    for (int t = first_tap; t < last_tap;) {
      const int a = t / c.across.taps, b0 = t % c.across.taps;
      const int b1 = std::min(c.across.taps, b0 + last_tap - t), row = pixel.row + a;
      const int left = std::clamp(-pixel.column, b0, b1);  // taps [left, right) lie inside
      int right = std::clamp(c.across.source - pixel.column, left, b1);
      if (row < 0 || row >= c.down.source) right = left;
      patches = std::fill_n(patches, (left - b0) * c.channels, T(0));
      if (right > left) {
        const int64_t at = (pixel.image * c.down.source + row) * c.across.source + pixel.column + left;
        patches = std::copy_n(source + at * c.channels, (right - left) * c.channels, patches);
      }
      patches = std::fill_n(patches, (b1 - right) * c.channels, T(0));
      t += b1 - b0;
    }
  }
}

// The output of one correlation, whose filter is a matrix (c.sums(), c.out_channels).
template <class T>
void correlate(const T* source, const T* filter, T* out, const Correlation& c, Epilogue* epilogue) {
  const int64_t pixels = c.pixels(), sums = c.sums(), channels = c.out_channels;
  const int64_t block =
      std::clamp<int64_t>(gemm_block_rows(pixels, channels, sums), 1, std::max<int64_t>(1, pixels));
  const bool in_order = c.down.out_step == 1 && c.across.out_step == 1;  // then outputs are contiguous
  if (epilogue) epilogue->prepare(pixels, channels, chunk_count(pixels, block));
  parallel_for(chunk_count(pixels, block), 1, [&](int64_t first, int64_t last) {
    const auto patches = scratch<T>(block * sums), products = scratch<T>(in_order ? 0 : block * channels);
    for (int64_t index = first; index < last; ++index) {
      const int64_t begin = index * block, end = std::min(pixels, begin + block);
      T* rows = in_order ? out + begin * channels : products.get();
      gather_patches(source, c, begin, end, 0, c.taps(), patches.get());
      block_product(end - begin, channels, sums, patches.get(), filter, rows);
      if (!in_order)
        for (int64_t i = begin; i < end; ++i)
          std::copy_n(rows + (i - begin) * channels, channels, out + CorrelationPixel(c, i).out * channels);
      if (epilogue) epilogue->block(index, rows, end - begin);
    }
  });
  if (epilogue) epilogue->finish();
}

// to (taps, Cout, Cin): the taps of w (k, k, Cin, Cout) that a correlation for dx uses. Squares of numbers go
// through a small array, because rows of w lie a power of two apart and would evict each other from the
// cache.
template <class T>
void turn_filter(const T* w, const Correlation& c, T* to) {
  constexpr int64_t side = 16;
  const int64_t in = c.out_channels, out = c.channels, squares = chunk_count(in, side);
  parallel_for(c.taps() * squares, 1, [&](int64_t first, int64_t last) {
    for (int64_t task = first; task < last; ++task) {
      const int t = int(task / squares);
      const int64_t i0 = task % squares * side, width = std::min(side, in - i0);
      const T* from = w + (c.filter_tap(t) * in + i0) * out;
      T* tap = to + t * in * out + i0;
      T square[side][side];
      for (int64_t o0 = 0; o0 < out; o0 += side) {
        const int64_t height = std::min(side, out - o0);
        for (int64_t i = 0; i < width; ++i)
          for (int64_t o = 0; o < height; ++o) square[o][i] = from[i * out + o0 + o];
        for (int64_t o = 0; o < height; ++o) std::copy_n(square[o], width, tap + (o0 + o) * in);
      }
    }
  });
}

}  // namespace

template <class T>
void conv2d_by_products(const T* x, const T* w, T* y, const Conv2dDims& d, Epilogue* epilogue) {
  correlate(x, w, y, Correlation::forward(d), epilogue);
}

template <class T>
void input_gradient_by_products(const T* w, const T* dy, T* dx, const Conv2dDims& d) {
  const Storage memory(d.filter_rows() * d.out_channels * int64_t(sizeof(T)), Device::cpu);
  T* turned = reinterpret_cast<T*>(memory.data());
  Correlation::each_input_gradient(d, [&](const Correlation& c) {
    turn_filter(w, c, turned);
    correlate<T>(dy, turned, dx, c, nullptr);
  });
}

template <class T>
void weight_gradient_by_products(const T* x, const T* dy, T* dw, const Conv2dDims& d) {
  // Partial sums over pieces of the pixels, in no more memory than the operands take; if there are few
  // pieces, each is also cut into groups of taps, so that there is work for every core.
  constexpr int64_t max_pieces = 16, min_piece = 256, min_tasks = 8, min_block = 256;
  const Correlation c = Correlation::forward(d);
  const int64_t pixels = c.pixels(), size = d.filter_rows() * d.out_channels;
  if (pixels == 0 || size == 0) return void(std::fill_n(dw, size, T(0)));
  const int64_t operands = d.batch * d.in_height * d.in_row() + pixels * d.out_channels;
  const int64_t wanted = std::clamp<int64_t>(operands / size, 1, max_pieces);
  const int64_t piece = chunk_count(pixels, std::min(wanted, chunk_count(pixels, min_piece)));
  const int64_t pieces = chunk_count(pixels, piece);
  const int64_t group = chunk_count(c.taps(), chunk_count(min_tasks, pieces));  // taps
  const int64_t groups = chunk_count(c.taps(), group);
  const int64_t block =
      std::min(piece, std::max(min_block, gemm_block_rows(piece, d.out_channels, group * c.channels)));
  const Storage partial(pieces == 1 ? 0 : pieces * size * int64_t(sizeof(T)), Device::cpu);
  T* sums = pieces == 1 ? dw : reinterpret_cast<T*>(partial.data());
  parallel_for(pieces * groups, 1, [&](int64_t first, int64_t last) {
    const auto patches = scratch<T>(block * group * c.channels);
    for (int64_t task = first; task < last; ++task) {
      const int64_t begin = task / groups * piece, end = std::min(pixels, begin + piece);
      const int first_tap = int(task % groups * group), last_tap = std::min(c.taps(), first_tap + int(group));
      const int64_t rows = int64_t(last_tap - first_tap) * c.channels;
      T* to = sums + task / groups * size + int64_t(first_tap) * c.channels * d.out_channels;
      std::fill_n(to, rows * d.out_channels, T(0));
      for (int64_t at = begin; at < end; at += block) {
        const int64_t count = std::min(block, end - at);
        gather_patches(x, c, at, at + count, first_tap, last_tap, patches.get());
        add_block_product_tn(rows, d.out_channels, count, patches.get(), dy + at * d.out_channels, to);
      }
    }
  });
  if (pieces > 1) add_pieces(sums, pieces, size, dw);
}

// T is a type, which takes no parentheses: NOLINTBEGIN(bugprone-macro-parentheses)
#define INSTANTIATE(T)                                                                       \
  template void conv2d_by_products<T>(const T*, const T*, T*, const Conv2dDims&, Epilogue*); \
  template void input_gradient_by_products<T>(const T*, const T*, T*, const Conv2dDims&);    \
  template void weight_gradient_by_products<T>(const T*, const T*, T*, const Conv2dDims&);
INSTANTIATE(float)
INSTANTIATE(double)
// NOLINTEND(bugprone-macro-parentheses)

}  // namespace fovea
