// Depthwise convolution: forward, input gradient, weight gradient. Bytes moved, with X = N H W C and Y = N H'
// W' C: (X + Y) sizeof(T) each, which is all that counts where a channel's k k multiplications a pixel are
// this few. The weight gradient also writes and reads its partial sums, k k C a block, of at most 1024
// blocks.
//
// The naive kernels read each input k k / (s s) times. In the tiled ones a thread has one pack of channels
// and a tile of pixels, all in registers: a row of inputs is loaded once and meets every tap and output pixel
// of the tile that it touches. The tiles of a block lie one below another, so the rows and columns they share
// with their neighbours come from the first-level cache. A pack is 4 channels (8 bytes of bfloat16, 256 a
// warp): with 8 the sums of a tile would not fit in the registers.
#include "cuda/kernels/depthwise_conv2d.h"

#include "cuda/device/columns.h"
#include "cuda/device/grid.h"
#include "cuda/device/pixel.h"
#include "cuda/device/unroll.h"
#include "cuda/device/vector.h"
#include "cuda/kernels/reduction.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"

namespace fovea::cuda {
namespace {

// The dims as kernels use them, in 32 bits: index arithmetic is a good part of what they do. First a level.
struct Level {
  int in_height, in_width, out_height, out_width, pad_y, pad_x;
  int in_first, out_first;  // pixels of an image before this level
};
struct Geometry {
  int channels, kernel, stride, levels;
  int in_pixels, out_pixels;  // of an image
  Level level[PyramidShape::max_levels];

  explicit Geometry(const DepthwiseConv2dDims& d)
      : channels(int(d.channels)),
        kernel(d.window.kernel),
        stride(d.window.stride),
        levels(int(d.in.levels.size())),
        in_pixels(0),
        out_pixels(0),
        level{} {
    const PyramidShape out = d.out();
    for (size_t i = 0; i < d.in.levels.size(); ++i) {
      const ImageSize from = d.in.levels[i], to = out.levels[i];
      level[i] = {int(from.height),
                  int(from.width),
                  int(to.height),
                  int(to.width),
                  int(d.window.pad_before(from.height)),
                  int(d.window.pad_before(from.width)),
                  in_pixels,
                  out_pixels};
      in_pixels += int(from.pixels());
      out_pixels += int(to.pixels());
    }
  }
};

// The level that a pixel of an image is in: the last that begins at it or before.
__device__ inline Level level_of(int pixel, const Geometry& g, int Level::*first) {
  int i = 0;
  while (i + 1 < g.levels && pixel >= g.level[i + 1].*first) ++i;
  return g.level[i];
}

// One thread one output: the definition.
template <class T>
__global__ void depthwise_naive(const T* x, const Accumulator<T>* w, T* y, Geometry g, int64_t n) {
  for (int64_t i : grid_stride(n)) {
    const int channel = int(i % g.channels), pixel = int(i / g.channels % g.out_pixels);
    const int64_t image = i / g.channels / g.out_pixels;
    const Level at = level_of(pixel, g, &Level::out_first);
    const int row = (pixel - at.out_first) / at.out_width, column = (pixel - at.out_first) % at.out_width;
    Accumulator<T> sum = 0;
    for (int a = 0; a < g.kernel; ++a)
      for (int b = 0; b < g.kernel; ++b) {
        const int under = row * g.stride + a - at.pad_y, beside = column * g.stride + b - at.pad_x;
        if (!inside(under, at.in_height) || !inside(beside, at.in_width)) continue;
        const int64_t from = image * g.in_pixels + at.in_first + under * at.in_width + beside;
        sum += Accumulator<T>(x[from * g.channels + channel]) * w[(a * g.kernel + b) * g.channels + channel];
      }
    y[i] = T(sum);
  }
}

// One thread one dx: from the output pixels (o, q) whose tap (a, b) sees it, o s + a - p = row.
template <class T>
__global__ void input_gradient_naive(const Accumulator<T>* w, const T* dy, T* dx, Geometry g, int64_t n) {
  for (int64_t i : grid_stride(n)) {
    const int channel = int(i % g.channels), pixel = int(i / g.channels % g.in_pixels);
    const int64_t image = i / g.channels / g.in_pixels;
    const Level at = level_of(pixel, g, &Level::in_first);
    const int row = (pixel - at.in_first) / at.in_width, column = (pixel - at.in_first) % at.in_width;
    Accumulator<T> sum = 0;
    for (int a = 0; a < g.kernel; ++a)
      for (int b = 0; b < g.kernel; ++b) {
        const int o = row + at.pad_y - a, q = column + at.pad_x - b;  // times the stride
        if (o % g.stride || q % g.stride || !inside(o, at.out_height * g.stride) ||
            !inside(q, at.out_width * g.stride))
          continue;
        const int64_t from = image * g.out_pixels + at.out_first + o / g.stride * at.out_width + q / g.stride;
        sum += Accumulator<T>(dy[from * g.channels + channel]) * w[(a * g.kernel + b) * g.channels + channel];
      }
    dx[i] = T(sum);
  }
}

// One thread one weight: it walks over all pixels.
template <class T>
__global__ void weight_gradient_naive(const T* x, const T* dy, Accumulator<T>* dw, Geometry g,
                                      int64_t batch) {
  for (int64_t i : grid_stride(int64_t(g.kernel) * g.kernel * g.channels)) {
    const PixelPlace tap(i, g.kernel, g.kernel, g.channels);  // row and column are a and b
    Accumulator<T> sum = 0;
    for (int l = 0; l < g.levels; ++l) {
      const Level at = g.level[l];
      for (int64_t image = 0; image < batch; ++image)
        for (int o = 0; o < at.out_height; ++o)
          for (int q = 0; q < at.out_width; ++q) {
            const int row = o * g.stride + tap.row - at.pad_y, column = q * g.stride + tap.column - at.pad_x;
            if (!inside(row, at.in_height) || !inside(column, at.in_width)) continue;
            const int64_t from = image * g.in_pixels + at.in_first + row * at.in_width + column,
                          to = image * g.out_pixels + at.out_first + o * at.out_width + q;
            sum += Accumulator<T>(dy[to * g.channels + tap.channel]) *
                   Accumulator<T>(x[from * g.channels + tap.channel]);
          }
    }
    dw[i] = sum;
  }
}

struct OneMap : Level {
  int channels;
  explicit OneMap(const Geometry& g) : Level(g.level[0]), channels(g.channels) {}
};

// Of a block. With two of them to a multiprocessor a thread may have 168 registers.
inline constexpr int tile_threads = 192, max_packs = 32;

// Channels of a thread; 16 bytes of Accumulator<T>.
template <class T>
inline constexpr int channel_pack = 16 / int(sizeof(Accumulator<T>));
// Of the weight gradient, which keeps k k sums for each: 36 registers with k 3, 50 with k 5.
template <class T, int K>
inline constexpr int sum_pack = K == 3 ? channel_pack<T> : channel_pack<T> / 2;

// The tiles of all images, numbered downwards first. Those on the right and bottom reach over the border.
struct Tiles {
  int down, across;
  Tiles(int height, int width, int tile_height, int tile_width)
      : down((height + tile_height - 1) / tile_height), across((width + tile_width - 1) / tile_width) {}
  int64_t of(int64_t batch) const { return batch * down * across; }
};
struct Tile {
  int64_t image;
  int row, column;  // of its first pixel
  __device__ Tile(int64_t index, Tiles tiles, int tile_height, int tile_width) {
    const unsigned i = unsigned(index), down = unsigned(tiles.down), across = unsigned(tiles.across);
    image = i / down / across;
    row = int(i % down) * tile_height;
    column = int(i / down % across) * tile_width;
  }
};

// A pack as numbers to compute with; zeros where the image ends.
template <int N, class T>
__device__ inline void load_real(Accumulator<T> (&to)[N], const T* from, bool is_inside) {
  Pack<T, N> pack = {};
  if (is_inside) pack = load_pack<N>(from);
  UNROLL for (int k = 0; k < N; ++k) { to[k] = Accumulator<T>(pack.value[k]); }
}
// COUNT neighbouring pixels of a row, from `column` on.
template <int N, int COUNT, class T>
__device__ inline void load_line(Accumulator<T> (&line)[COUNT][N], const T* image, int row, int column,
                                 int height, int width, int channels) {
  const bool row_inside = inside(row, height);
  const T* from = image + (int64_t(row) * width + column) * channels;
  UNROLL for (int j = 0; j < COUNT; ++j) {
    load_real<N>(line[j], from + int64_t(j) * channels, row_inside && inside(column + j, width));
  }
}

template <int N, class R>
__device__ inline void add_product(R* sum, const R* a, const R* b) {
  UNROLL for (int k = 0; k < N; ++k) { sum[k] += a[k] * b[k]; }
}

// The filters of a block's channels, for all its tiles. All threads must come.
template <int K, class R, int N>
__device__ inline void load_filter(Pack<R, N> (&filter)[K * K][max_packs], const R* w,
                                   const ColumnPlace<N>& at) {
  if (at.inside)
    for (int tap = int(threadIdx.y); tap < K * K; tap += int(blockDim.y))
      filter[tap][threadIdx.x] = load_pack<N>(w + tap * at.stride + at.column);
  __syncthreads();
}

// Output pixels of a tile: 16 sums of a pack at stride 1, 64 registers.
inline constexpr int forward_height = 2;
template <int S>
inline constexpr int forward_width = S == 1 ? 8 : 4;

template <int K, int S, class T>
__global__ void __launch_bounds__(tile_threads, 2)
    depthwise_tiled(const T* x, const Accumulator<T>* w, T* y, OneMap g, Tiles tiles, ColumnGrid grid) {
  constexpr int N = channel_pack<T>, HEIGHT = forward_height, WIDTH = forward_width<S>;
  __shared__ Pack<Accumulator<T>, N> filter[K * K][max_packs];
  const ColumnPlace<N> at(grid);
  load_filter<K>(filter, w, at);
  for (int64_t index = at.begin; index < at.end; index += blockDim.y) {
    const Tile tile(index, tiles, HEIGHT, WIDTH);
    const T* image = x + tile.image * g.in_height * g.in_width * g.channels + at.column;
    const int top = tile.row * S - g.pad_y, left = tile.column * S - g.pad_x;
    Accumulator<T> sum[HEIGHT][WIDTH][N] = {};
    NO_UNROLL for (int i = 0; i < (HEIGHT - 1) * S + K; ++i) {
      Accumulator<T> line[(WIDTH - 1) * S + K][N];
      load_line(line, image, top + i, left, g.in_height, g.in_width, g.channels);
      UNROLL for (int r = 0; r < HEIGHT; ++r) {
        const int a = i - r * S;  // the filter's row that lies on this input row
        if (a < 0 || a >= K) continue;
        UNROLL for (int b = 0; b < K; ++b) {
          const Pack<Accumulator<T>, N> tap = filter[a * K + b][threadIdx.x];
          UNROLL for (int p = 0; p < WIDTH; ++p) { add_product<N>(sum[r][p], line[p * S + b], tap.value); }
        }
      }
    }
    T* to = y + ((tile.image * g.out_height + tile.row) * g.out_width + tile.column) * g.channels + at.column;
    UNROLL for (int r = 0; r < HEIGHT; ++r) {
      UNROLL for (int p = 0; p < WIDTH; ++p) {
        if (tile.row + r < g.out_height && tile.column + p < g.out_width)
          store_rounded<N>(to + (int64_t(r) * g.out_width + p) * g.channels, sum[r][p]);
      }
    }
  }
}

// dx pixels of a tile. With stride 2 it consists of 2 x 2 cells, whose pixels have i + p of even and odd
// parity.
inline constexpr int gradient_height = 2, gradient_width = 8;

// dx at i takes w[a] dy[o] with o S + a - p = i. Write i + p = S q + e, e < S: then a = e + S t and o = q -
// t, for t from 0 on; along both axes. So a cell q needs dy from q - (TAPS - 1) to q, all S x S of its pixels
// the same.
template <int K, int S, class T>
__global__ void __launch_bounds__(tile_threads, 2)
    input_gradient_tiled(const Accumulator<T>* w, const T* dy, T* dx, OneMap g, Tiles tiles,
                         ColumnGrid grid) {
  constexpr int N = channel_pack<T>, TAPS = (K + S - 1) / S, CELLS_Y = gradient_height / S,
                CELLS_X = gradient_width / S;
  __shared__ Pack<Accumulator<T>, N> filter[K * K][max_packs];
  const ColumnPlace<N> at(grid);
  load_filter<K>(filter, w, at);
  for (int64_t index = at.begin; index < at.end; index += blockDim.y) {
    const Tile tile(index, tiles, gradient_height, gradient_width);
    const int row = tile.row - g.pad_y % S,
              column = tile.column - g.pad_x % S;  // may be -1: half a cell is outside
    const int top = (row + g.pad_y) / S - (TAPS - 1), left = (column + g.pad_x) / S - (TAPS - 1);
    const T* image = dy + tile.image * g.out_height * g.out_width * g.channels + at.column;
    Accumulator<T> sum[gradient_height][gradient_width][N] = {};
    NO_UNROLL for (int i = 0; i < CELLS_Y + TAPS - 1; ++i) {
      Accumulator<T> line[CELLS_X + TAPS - 1][N];
      load_line(line, image, top + i, left, g.out_height, g.out_width, g.channels);
      UNROLL for (int r = 0; r < gradient_height; ++r) {
        const int t = r / S + TAPS - 1 - i, a = r % S + S * t;
        if (t < 0 || a >= K) continue;
        UNROLL for (int b = 0; b < K; ++b) {
          const Pack<Accumulator<T>, N> tap = filter[a * K + b][threadIdx.x];
          UNROLL for (int q = 0; q < CELLS_X; ++q) {
            add_product<N>(sum[r][q * S + b % S], line[q + TAPS - 1 - b / S], tap.value);
          }
        }
      }
    }
    T* to = dx + ((tile.image * g.in_height + row) * g.in_width + column) * g.channels + at.column;
    UNROLL for (int r = 0; r < gradient_height; ++r) {
      UNROLL for (int p = 0; p < gradient_width; ++p) {
        if (inside(row + r, g.in_height) && inside(column + p, g.in_width))
          store_rounded<N>(to + (int64_t(r) * g.in_width + p) * g.channels, sum[r][p]);
      }
    }
  }
}

// Output pixels of a tile.
inline constexpr int sum_height = 2, sum_width = 4;

// Stage 1 of the weight gradient: a thread adds up k k sums over its tiles, a block those of its threads,
// into partial (chunks, k k, C). Stage 2 adds the chunks.
template <int K, int S, class T>
__global__ void __launch_bounds__(tile_threads, 2)
    weight_gradient_tiled(const T* x, const T* dy, Accumulator<T>* partial, OneMap g, Tiles tiles,
                          ColumnGrid grid) {
  constexpr int N = sum_pack<T, K>, HEIGHT = sum_height, WIDTH = sum_width;
  const ColumnPlace<N> at(grid);
  Accumulator<T> sum[K][K * N] = {};
  for (int64_t index = at.begin; index < at.end; index += blockDim.y) {
    const Tile tile(index, tiles, HEIGHT, WIDTH);
    const T* image = x + tile.image * g.in_height * g.in_width * g.channels + at.column;
    const T* gradient_image = dy + tile.image * g.out_height * g.out_width * g.channels + at.column;
    const int top = tile.row * S - g.pad_y, left = tile.column * S - g.pad_x;
    Accumulator<T> gradient[HEIGHT][WIDTH][N];
    UNROLL for (int r = 0; r < HEIGHT; ++r) {
      load_line(gradient[r], gradient_image, tile.row + r, tile.column, g.out_height, g.out_width,
                g.channels);
    }
    UNROLL for (int i = 0; i < (HEIGHT - 1) * S + K; ++i) {
      if (!inside(top + i, g.in_height)) continue;
      Accumulator<T> line[(WIDTH - 1) * S + K][N];
      load_line(line, image, top + i, left, g.in_height, g.in_width, g.channels);
      UNROLL for (int r = 0; r < HEIGHT; ++r) {
        const int a = i - r * S;
        if (a < 0 || a >= K) continue;
        UNROLL for (int b = 0; b < K; ++b) {
          UNROLL for (int p = 0; p < WIDTH; ++p) {
            add_product<N>(sum[a] + b * N, gradient[r][p], line[p * S + b]);
          }
        }
      }
    }
  }
  UNROLL for (int a = 0; a < K; ++a) {
    block_column_sum(sum[a]);
    if (!at.first_line()) continue;
    Accumulator<T>* to = partial + (at.chunk * K + a) * K * g.channels + at.column;
    UNROLL for (int b = 0; b < K; ++b) { store_rounded<N>(to + b * g.channels, sum[a] + b * N); }
  }
}

// A block loads its filters once for all its tiles, and leaves one set of sums for them.
inline constexpr ColumnPlan plan_for_tiles = {4096, 1, tile_threads, max_packs};
inline constexpr ColumnPlan plan_for_tile_sums = {1024, 4, tile_threads, max_packs};

// Calls f.operator()<K, S>() where there is a tiled kernel for the window and the channels come in packs.
template <class T, class F>
bool tiled(const DepthwiseConv2dDims& d, F&& f) {
  const Window window = d.window;
  if (d.channels % channel_pack<T> != 0 || d.in.levels.size() != 1) return false;
  if (window.kernel == 3 && window.stride == 1) return f.template operator()<3, 1>(), true;
  if (window.kernel == 3 && window.stride == 2) return f.template operator()<3, 2>(), true;
  if (window.kernel == 5 && window.stride == 1) return f.template operator()<5, 1>(), true;
  if (window.kernel == 5 && window.stride == 2) return f.template operator()<5, 2>(), true;
  return false;
}

}  // namespace

template <class T>
void depthwise_conv2d(const T* x, const Accumulator<T>* w, T* y, const DepthwiseConv2dDims& d) {
  const Geometry all(d);
  const OneMap g(all);
  const bool done = tiled<T>(d, [&]<int K, int S>() {
    const Tiles tiles(g.out_height, g.out_width, forward_height, forward_width<S>);
    const ColumnGrid grid = column_grid(1, tiles.of(d.batch), d.channels, channel_pack<T>, plan_for_tiles);
    launch(depthwise_tiled<K, S, T>, {grid}, x, w, y, g, tiles, grid);
  });
  if (done) return;
  const int64_t n = d.batch * all.out_pixels * d.channels;
  launch(depthwise_naive<T>, {grid_for(n), block_threads}, x, w, y, all, n);
}

template <class T>
void depthwise_conv2d_input_gradient(const Accumulator<T>* w, const T* dy, T* dx,
                                     const DepthwiseConv2dDims& d) {
  const Geometry all(d);
  const OneMap g(all);
  const bool done = tiled<T>(d, [&]<int K, int S>() {
    const Tiles tiles(g.in_height + g.pad_y % S, g.in_width + g.pad_x % S, gradient_height, gradient_width);
    const ColumnGrid grid = column_grid(1, tiles.of(d.batch), d.channels, channel_pack<T>, plan_for_tiles);
    launch(input_gradient_tiled<K, S, T>, {grid}, w, dy, dx, g, tiles, grid);
  });
  if (done) return;
  const int64_t n = d.batch * all.in_pixels * d.channels;
  launch(input_gradient_naive<T>, {grid_for(n), block_threads}, w, dy, dx, all, n);
}

template <class T>
void depthwise_conv2d_weight_gradient(const T* x, const T* dy, Accumulator<T>* dw,
                                      const DepthwiseConv2dDims& d) {
  const Geometry all(d);
  const OneMap g(all);
  const bool done = tiled<T>(d, [&]<int K, int S>() {
    constexpr int N = sum_pack<T, K>;
    const Tiles tiles(g.out_height, g.out_width, sum_height, sum_width);
    const ColumnGrid grid = column_grid(1, tiles.of(d.batch), d.channels, N, plan_for_tile_sums);
    const Workspace<Accumulator<T>> partial(grid.chunks * K * K * d.channels);
    launch(weight_gradient_tiled<K, S, T>, {grid, grid.shared_bytes<Accumulator<T>>(K * N)}, x, dy,
           partial.data(), g, tiles, grid);
    add_partials<Accumulator<T>>(partial.data(), dw, {1, grid.chunks, K * K * d.channels});
  });
  if (done) return;
  const int64_t n = int64_t(all.kernel) * all.kernel * d.channels;
  launch(weight_gradient_naive<T>, {grid_for(n), block_threads}, x, dy, dw, all, d.batch);
}

#define INSTANTIATE(T)                                                                                \
  template void depthwise_conv2d<T>(const T*, const Accumulator<T>*, T*, const DepthwiseConv2dDims&); \
  template void depthwise_conv2d_input_gradient<T>(const Accumulator<T>*, const T*, T*,               \
                                                   const DepthwiseConv2dDims&);                       \
  template void depthwise_conv2d_weight_gradient<T>(const T*, const T*, Accumulator<T>*,              \
                                                    const DepthwiseConv2dDims&);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(bfloat16)

}  // namespace fovea::cuda
