// Dense convolution. The launchers at the end choose between cuDNN and our kernels. This file has two kinds
// of kernels: the definition, with one thread per number, and strips, made for a network's first convolution,
// which has few input channels and needs no gradient of the image. Tiles, for other numbers of channels, are
// in conv2d_tiled.cu, and the weight gradient of a first convolution on tensor cores in conv2d_patches.cu.
// Bytes moved, with X = N H W Cin and Y = N H' W' Cout: (X + Y) sizeof(T), forward and
// weight gradient; the weight gradient also writes and reads its partial sums, k k Cin Cout per block, of at
// most 528 blocks.
//
// The naive kernels load two numbers for each multiplication. In the fast ones a thread has a strip of output
// pixels and a pack of output channels, whose sums stay in registers. In the forward pass a pack of weights
// from shared memory serves all pixels of the strip; in the weight gradient a pack of dy serves several taps.
// All threads of a warp on the same strip load an image value at once. In NHWC the taps of a filter row are
// neighbours in the image as well, so both walk over rows of numbers and need not tell b from c.
#include "cuda/kernels/conv2d.h"

#include "cuda/cudnn.h"
#include "cuda/device/columns.h"
#include "cuda/device/grid.h"
#include "cuda/device/pixel.h"
#include "cuda/device/unroll.h"
#include "cuda/device/vector.h"
#include "cuda/kernels/conv2d_patches.h"
#include "cuda/kernels/conv2d_tiled.h"
#include "cuda/kernels/reduction.h"
#include "cuda/kernels/shape_ops.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"

namespace fovea::cuda {
namespace {

// The dims as kernels use them, in 32 bits: index arithmetic is a good part of their work.
struct Geometry {
  int in_height, in_width, in_channels, out_height, out_width, out_channels, kernel, stride, pad_y, pad_x;

  explicit Geometry(const Conv2dDims& d)
      : in_height(int(d.in_height)),
        in_width(int(d.in_width)),
        in_channels(int(d.in_channels)),
        out_height(int(d.out_height())),
        out_width(int(d.out_width())),
        out_channels(int(d.out_channels)),
        kernel(d.window.kernel),
        stride(d.window.stride),
        pad_y(int(d.window.pad_before(d.in_height))),
        pad_x(int(d.window.pad_before(d.in_width))) {}
  HD int in_row() const { return in_width * in_channels; }
  HD int taps() const { return kernel * in_channels; }  // of a filter row
};

// One thread per output: the definition.
template <class T>
__global__ void conv2d_naive(const T* x, const Accumulator<T>* w, T* y, Geometry g, int64_t n) {
  for (int64_t i : grid_stride(n)) {
    const PixelPlace at(i, g.out_height, g.out_width, g.out_channels);
    Accumulator<T> sum = 0;
    for (int a = 0; a < g.kernel; ++a)
      for (int b = 0; b < g.kernel; ++b) {
        const int row = at.row * g.stride + a - g.pad_y, column = at.column * g.stride + b - g.pad_x;
        if (!inside(row, g.in_height) || !inside(column, g.in_width)) continue;
        const T* in = x + ((at.image * g.in_height + row) * g.in_width + column) * g.in_channels;
        const Accumulator<T>* filter =
            w + int64_t(a * g.kernel + b) * g.in_channels * g.out_channels + at.channel;
        for (int c = 0; c < g.in_channels; ++c)
          sum += Accumulator<T>(in[c]) * filter[int64_t(c) * g.out_channels];
      }
    y[i] = T(sum);
  }
}

// One thread per dx, from the output pixels (o, q) whose tap (a, b) reads it: o s + a - p = row.
template <class T>
__global__ void input_gradient_naive(const Accumulator<T>* w, const T* dy, T* dx, Geometry g, int64_t n) {
  for (int64_t i : grid_stride(n)) {
    const PixelPlace at(i, g.in_height, g.in_width, g.in_channels);
    Accumulator<T> sum = 0;
    for (int a = 0; a < g.kernel; ++a)
      for (int b = 0; b < g.kernel; ++b) {
        const int o = at.row + g.pad_y - a, q = at.column + g.pad_x - b;  // times the stride
        if (o % g.stride || q % g.stride || !inside(o, g.out_height * g.stride) ||
            !inside(q, g.out_width * g.stride))
          continue;
        const int64_t row = at.image * g.out_height + o / g.stride;
        const T* gradient = dy + (row * g.out_width + q / g.stride) * g.out_channels;
        const Accumulator<T>* filter =
            w + (int64_t(a * g.kernel + b) * g.in_channels + at.channel) * g.out_channels;
        for (int c = 0; c < g.out_channels; ++c) sum += Accumulator<T>(gradient[c]) * filter[c];
      }
    dx[i] = T(sum);
  }
}

// One thread per weight: it walks over all pixels.
template <class T>
__global__ void weight_gradient_naive(const T* x, const T* dy, Accumulator<T>* dw, Geometry g, int64_t batch,
                                      int64_t n) {
  for (int64_t i : grid_stride(n)) {
    const int64_t tap = i / g.out_channels, o = i % g.out_channels;
    const int a = int(tap / g.taps()), b = int(tap % g.taps() / g.in_channels), c = int(tap % g.in_channels);
    Accumulator<T> sum = 0;
    for (int64_t image = 0; image < batch; ++image)
      for (int r = 0; r < g.out_height; ++r)
        for (int q = 0; q < g.out_width; ++q) {
          const int row = r * g.stride + a - g.pad_y, column = q * g.stride + b - g.pad_x;
          if (!inside(row, g.in_height) || !inside(column, g.in_width)) continue;
          sum += Accumulator<T>(dy[((image * g.out_height + r) * g.out_width + q) * g.out_channels + o]) *
                 Accumulator<T>(x[((image * g.in_height + row) * g.in_width + column) * g.in_channels + c]);
        }
    dw[i] = sum;
  }
}

// One thread per number of the result. A filter is small compared with the images it is used on.
template <class From, class To>
__global__ void transpose_naive(const From* from, To* to, int64_t rows, int64_t columns) {
  for (int64_t i : grid_stride(rows * columns)) {
    const To number = converted<To>(from[i % rows * columns + i / rows]);
    to[i] = number;
  }
}

// Output channels of a thread; 16 bytes of Accumulator<T>.
template <class T>
inline constexpr int channel_pack = 16 / int(sizeof(Accumulator<T>));

// The neighbouring output pixels of a thread.
inline constexpr int forward_strip = 8, sum_strip = 4;

struct Strips {
  int of_row;
  Strips(int out_width, int strip) : of_row((out_width + strip - 1) / strip) {}
  int64_t of(const Conv2dDims& d) const { return d.batch * d.out_height() * of_row; }
};
struct Strip {
  int64_t image;
  int row, column;  // of its first pixel
  __device__ Strip(int64_t index, Strips strips, int strip, int out_height) {
    const unsigned i = unsigned(index), of_row = unsigned(strips.of_row), height = unsigned(out_height);
    image = i / of_row / height;
    row = int(i / of_row % height);
    column = int(i % of_row) * strip;
  }
};

template <class T>
__global__ void __launch_bounds__(block_threads)
    conv2d_strips(const T* x, const Accumulator<T>* w, T* y, Geometry g, Strips strips, ColumnGrid grid) {
  constexpr int N = channel_pack<T>;
  auto* filter = dynamic_shared<Pack<Accumulator<T>, N>>();  // (k, taps, packs of the block)
  const ColumnPlace<N> at(grid);
  if (at.inside)
    for (int tap = int(threadIdx.y); tap < g.kernel * g.taps(); tap += int(blockDim.y))
      filter[tap * grid.width + int(threadIdx.x)] =
          load_pack<N>(w + int64_t(tap) * g.out_channels + at.column);
  __syncthreads();
  for (int64_t index = at.begin; index < at.end; index += blockDim.y) {
    const Strip strip(index, strips, forward_strip, g.out_height);
    Accumulator<T> sum[forward_strip][N] = {};
    for (int a = 0; a < g.kernel; ++a) {
      const int row = strip.row * g.stride + a - g.pad_y;
      if (!inside(row, g.in_height)) continue;
      const T* in = x + (strip.image * g.in_height + row) * g.in_row();
      const int first = (strip.column * g.stride - g.pad_x) * g.in_channels, step = g.stride * g.in_channels;
      for (int t = 0; t < g.taps(); ++t) {
        const Pack<Accumulator<T>, N> tap = filter[(a * g.taps() + t) * grid.width + int(threadIdx.x)];
        UNROLL for (int p = 0; p < forward_strip; ++p) {
          const int i = first + p * step + t;
          const Accumulator<T> value = inside(i, g.in_row()) ? Accumulator<T>(in[i]) : Accumulator<T>(0);
          UNROLL for (int k = 0; k < N; ++k) { sum[p][k] += value * tap.value[k]; }
        }
      }
    }
    T* to = y + ((strip.image * g.out_height + strip.row) * g.out_width + strip.column) * g.out_channels +
            at.column;
    UNROLL for (int p = 0; p < forward_strip; ++p) {
      if (strip.column + p >= g.out_width) continue;
      store_rounded<N>(to + int64_t(p) * g.out_channels, sum[p]);
    }
  }
}

// Neighbouring taps of a filter row whose sums a thread keeps, the 3 x 3 of the stem, and their channels: in
// bfloat16 72 numbers, so that two thirds of the instructions are multiply-adds.
inline constexpr int group_taps = 9;
template <class T>
inline constexpr int sum_pack = sizeof(T) == 2 ? 8 : channel_pack<T>;
template <class T>
inline constexpr int sum_blocks = sizeof(T) == 2 ? 2 : 1;  // that a multiprocessor holds

// Stage 1 of the weight gradient. The columns of `grid` are (groups of taps, Cout): the threads of a strip
// are side by side and read the same dy. Writes partial (chunks, k, taps, Cout); stage 2 adds the chunks.
template <class T>
__global__ void __launch_bounds__(block_threads, sum_blocks<T>)
    weight_gradient_strips(const T* x, const T* dy, Accumulator<T>* partial, Geometry g, Strips strips,
                           ColumnGrid grid) {
  constexpr int N = sum_pack<T>;
  const ColumnPlace<N> at(grid);
  const int group = int(at.column) / g.out_channels, o = int(at.column) % g.out_channels;
  const int groups = (g.taps() + group_taps - 1) / group_taps;  // of a filter row
  const int a = group / groups, first_tap = group % groups * group_taps;
  Accumulator<T> sum[group_taps][N] = {};
  for (int64_t index = at.begin; index < at.end; index += blockDim.y) {
    const Strip strip(index, strips, sum_strip, g.out_height);
    const int row = strip.row * g.stride + a - g.pad_y;
    if (!inside(row, g.in_height)) continue;
    const T* in = x + (strip.image * g.in_height + row) * g.in_row();
    const T* gradients =
        dy + ((strip.image * g.out_height + strip.row) * g.out_width + strip.column) * g.out_channels + o;
    // The loads of this many pixels are in flight before the first sum; more would not fit into the
    // registers.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
    constexpr int ahead = sizeof(T) == 4 ? sum_strip : 1;
#else
    constexpr int ahead = sizeof(T) == 2 ? 2 : sizeof(T) == 4 ? sum_strip : 1;
#endif
    NO_UNROLL for (int begin = 0; begin < sum_strip; begin += ahead) {
      Pack<T, N> gradient[ahead] = {};
      T value[ahead][group_taps];
      UNROLL for (int p = 0; p < ahead; ++p) {
        const int column = strip.column + begin + p;
        const bool wanted = column < g.out_width;
        if (wanted) gradient[p] = load_pack<N>(gradients + int64_t(begin + p) * g.out_channels);
        const int first = (column * g.stride - g.pad_x) * g.in_channels + first_tap;
        UNROLL for (int t = 0; t < group_taps; ++t) {
          value[p][t] = wanted && inside(first + t, g.in_row()) ? in[first + t] : T(0);
        }
      }
      UNROLL for (int p = 0; p < ahead; ++p) {
        UNROLL for (int t = 0; t < group_taps; ++t) {
          UNROLL for (int k = 0; k < N; ++k) {
            sum[t][k] += Accumulator<T>(value[p][t]) * Accumulator<T>(gradient[p].value[k]);
          }
        }
      }
    }
  }
  UNROLL for (int t = 0; t < group_taps; ++t) {
    block_column_sum(sum[t]);
    if (!at.first_line() || first_tap + t >= g.taps()) continue;  // the last group of a row may be short
    Accumulator<T>* to =
        partial + ((at.chunk * g.kernel + a) * g.taps() + first_tap + t) * g.out_channels + o;
    store_rounded<N>(to, sum[t]);
  }
}

inline constexpr ColumnPlan plan_for_strips = {8192, 2, block_threads, 32};
inline constexpr ColumnPlan plan_for_strip_sums = {528, 8, block_threads, 32};
inline constexpr size_t max_filter_bytes = 48 << 10;  // a block on any GPU may have this much

// Images of three channels have no pack of channels to load; strips need none.
bool has_few_channels(const Conv2dDims& d) { return d.in_channels <= 4; }

template <class T>
bool conv2d_in_strips(const T* x, const Accumulator<T>* w, T* y, const Conv2dDims& d) {
  constexpr int N = channel_pack<T>;
  const Geometry g(d);
  const Strips strips(g.out_width, forward_strip);
  const ColumnGrid grid = column_grid(1, strips.of(d), d.out_channels, N, plan_for_strips);
  const size_t filter_bytes = size_t(g.kernel * g.taps() * grid.width) * sizeof(Pack<Accumulator<T>, N>);
  if (!has_few_channels(d) || d.out_channels % N != 0 || filter_bytes > max_filter_bytes) return false;
  launch(conv2d_strips<T>, {grid, filter_bytes}, x, w, y, g, strips, grid);
  return true;
}

template <class T>
bool weight_gradient_in_strips(const T* x, const T* dy, Accumulator<T>* dw, const Conv2dDims& d) {
  constexpr int N = sum_pack<T>;
  if (!has_few_channels(d) || d.out_channels % N != 0) return false;
  const Geometry g(d);
  const int64_t n = d.filter_rows() * d.out_channels;
  const Strips strips(g.out_width, sum_strip);
  const int64_t groups = g.kernel * ((d.taps() + group_taps - 1) / group_taps);
  const ColumnGrid grid = column_grid(1, strips.of(d), groups * d.out_channels, N, plan_for_strip_sums);
  const Workspace<Accumulator<T>> partial(grid.chunks * n);
  launch(weight_gradient_strips<T>, {grid, grid.shared_bytes<Accumulator<T>>(N)}, x, dy, partial.data(), g,
         strips, grid);
  add_partials<Accumulator<T>>(partial.data(), dw, {1, grid.chunks, n});
  return true;
}

cudnn::Convolution of_cudnn(const Conv2dDims& d) {
  return {d.batch, d.in_height, d.in_width, d.in_channels, d.out_channels, d.window};
}

template <class T>
bool goes_to_cudnn(cudnn::Pass pass, const Conv2dDims& d) {
  const bool wanted = cudnn::use() == cudnn::Use::always ||
                      (cudnn::use() == cudnn::Use::where_faster && !has_few_channels(d));
  return wanted && d.out_pixels() > 0 && cudnn::takes<T>(pass, of_cudnn(d));
}

// A filter converted for cuDNN or back: (Cout, k, k, Cin), in T.
template <class T>
class TurnedFilter {
 public:
  explicit TurnedFilter(const Conv2dDims& d)
      : rows_(d.filter_rows()), columns_(d.out_channels), numbers_(rows_ * columns_) {}
  const T* of(const Accumulator<T>* w) const {
    transpose(w, numbers_.data(), rows_, columns_);
    return numbers_.data();
  }
  T* data() const { return numbers_.data(); }
  void store(Accumulator<T>* dw) const { transpose(numbers_.data(), dw, columns_, rows_); }

 private:
  int64_t rows_, columns_;
  Workspace<T> numbers_;
};

}  // namespace

template <class T>
void conv2d(const T* x, const Accumulator<T>* w, T* y, const Conv2dDims& d) {
  if (goes_to_cudnn<T>(cudnn::Pass::forward, d))
    return cudnn::forward<T>(x, TurnedFilter<T>(d).of(w), y, of_cudnn(d));
  if (conv2d_in_strips(x, w, y, d) || conv2d_tiled(x, w, y, d)) return;
  const int64_t n = d.out_pixels() * d.out_channels;
  launch(conv2d_naive<T>, {grid_for(n), block_threads}, x, w, y, Geometry(d), n);
}

template <class T>
void conv2d_input_gradient(const Accumulator<T>* w, const T* dy, T* dx, const Conv2dDims& d) {
  if (goes_to_cudnn<T>(cudnn::Pass::input_gradient, d))
    return cudnn::input_gradient<T>(TurnedFilter<T>(d).of(w), dy, dx, of_cudnn(d));
  if (conv2d_input_gradient_tiled(w, dy, dx, d)) return;
  const int64_t n = d.batch * d.in_height * d.in_row();
  launch(input_gradient_naive<T>, {grid_for(n), block_threads}, w, dy, dx, Geometry(d), n);
}

template <class T>
void conv2d_weight_gradient(const T* x, const T* dy, Accumulator<T>* dw, const Conv2dDims& d) {
  if (goes_to_cudnn<T>(cudnn::Pass::weight_gradient, d)) {
    const TurnedFilter<T> turned(d);
    cudnn::weight_gradient<T>(x, dy, turned.data(), of_cudnn(d));
    return turned.store(dw);
  }
  if constexpr (std::is_same_v<T, bfloat16>)
    if (conv2d_weight_gradient_patches(x, dy, dw, d)) return;
  if (weight_gradient_in_strips(x, dy, dw, d) || conv2d_weight_gradient_tiled(x, dy, dw, d)) return;
  const int64_t n = d.filter_rows() * d.out_channels;
  launch(weight_gradient_naive<T>, {grid_for(n), block_threads}, x, dy, dw, Geometry(d), d.batch, n);
}

template <class T>
int64_t conv2d_library_bytes(const Conv2dDims& d) {
  const bool may = cudnn::available() && cudnn::use() != cudnn::Use::never && !std::is_same_v<T, double>;
  return may ? cudnn::max_workspace_bytes + d.filter_rows() * d.out_channels * int64_t(sizeof(T)) : 0;
}

template <class From, class To>
void transpose(const From* from, To* to, int64_t rows, int64_t columns) {
  const int64_t n = rows * columns;
  launch(transpose_naive<From, To>, {grid_for(n), block_threads}, from, to, rows, columns);
}

#define INSTANTIATE(T)                                                                             \
  template void conv2d<T>(const T*, const Accumulator<T>*, T*, const Conv2dDims&);                 \
  template void conv2d_input_gradient<T>(const Accumulator<T>*, const T*, T*, const Conv2dDims&);  \
  template void conv2d_weight_gradient<T>(const T*, const T*, Accumulator<T>*, const Conv2dDims&); \
  template int64_t conv2d_library_bytes<T>(const Conv2dDims&);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(bfloat16)
template void transpose<float, float>(const float*, float*, int64_t, int64_t);
template void transpose<float, bfloat16>(const float*, bfloat16*, int64_t, int64_t);
template void transpose<bfloat16, float>(const bfloat16*, float*, int64_t, int64_t);
template void transpose<double, double>(const double*, double*, int64_t, int64_t);

}  // namespace fovea::cuda
