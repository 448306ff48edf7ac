// Dense convolution as a product of two matrices, of which the first, the patches of pixels under each
// window, is never stored ("implicit GEMM"; cuDNN, arXiv 1410.0759, section 3). With M = N H' W' pixels and K
// = k k Cin there are M K Cout multiply-adds per pass, against (X + Y) sizeof(T) + 4 K Cout bytes that must
// move: with 64 channels and k 3 that is 144 per byte in bfloat16, so these kernels are bound by arithmetic.
// They compute in float32 outside the tensor cores: an H200 has 67 TFLOP/s for that, and 989 in bfloat16 on
// its tensor cores (data sheet). They serve builds without cuDNN, cases that cuDNN does not support, and
// readers and tests.
//
// A block computes a tile of 64 x 64 outputs, walking down the sum in steps of 16: it loads a tile of 64 x 16
// from each matrix into shared memory, once for all its threads, and uses each number 64 times. A thread has
// 8 x 4 outputs in registers, so that 3 packs from shared memory serve 32 multiply-adds; while a block
// computes one step, the packs of the next are on their way into registers. So a pass reads x and dy from
// memory or the L2 cache k k Cout / 64 times, w M / 64 times. Patches come in packs of four channels, of one
// tap each.
//
// The forward pass and the input gradient are both correlations (correlation.h), and one kernel computes
// them. The input gradient with stride s is s s of them, one launch each: all pixels of one have the same
// taps, and none is multiplied with the zeros between the pixels of dy. The weight gradient sums over pixels
// instead; if there are too few tiles of dw to fill a GPU, the pixels are cut into chunks, whose sums a
// second launch adds in order.
#include "cuda/kernels/conv2d_tiled.h"

#include <algorithm>

#include "cuda/device/pixel.h"
#include "cuda/device/unroll.h"
#include "cuda/device/vector.h"
#include "cuda/kernels/correlation.h"
#include "cuda/kernels/reduction.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"

namespace fovea::cuda {
namespace {

inline constexpr int tile = 64, depth = 16;  // outputs along each side; terms of the sum per step
inline constexpr int pack = 4, row_packs = tile / pack, depth_packs = depth / pack;
inline constexpr int thread_rows = 8;  // by one pack of columns
inline constexpr int tile_threads = tile / thread_rows * row_packs;
inline constexpr int loads =
    tile * depth_packs / tile_threads;  // packs of each matrix that a thread loads per step

// A step's part of one matrix: `depth` rows of 64 numbers, in Accumulator<T>. The extra pack in each row puts
// the stores of a transposed pack into other banks.
template <class R>
using SharedTile = Pack<R, pack>[depth][row_packs + 1];

template <class T>
__device__ inline Pack<Accumulator<T>, pack> widened(const Pack<T, pack>& from) {
  Pack<Accumulator<T>, pack> result;
  UNROLL for (int i = 0; i < pack; ++i) { result.value[i] = Accumulator<T>(from.value[i]); }
  return result;
}

// The place of one load's pack in a tile that is loaded along the sum and stored transposed: four
// neighbouring threads have the 16 numbers of one row.
struct AlongSum {
  int row, at;  // row of the tile; of its 16 numbers, the first of the pack
  __device__ explicit AlongSum(int load)
      : row((int(threadIdx.x) + load * tile_threads) / depth_packs),
        at(int(threadIdx.x) % depth_packs * pack) {}
  template <class R>
  __device__ void store(SharedTile<R>& to, const Pack<R, pack>& numbers) const {
    UNROLL for (int i = 0; i < pack; ++i) { to[at + i][row / pack].value[row % pack] = numbers.value[i]; }
  }
};
// The same in a tile loaded across the sum: sixteen threads have the 64 numbers of one term of the sum.
struct AcrossSum {
  int term, at;  // of the 16 terms; of the 64 numbers, the first of the pack
  __device__ explicit AcrossSum(int load)
      : term((int(threadIdx.x) + load * tile_threads) / row_packs), at(int(threadIdx.x) % row_packs * pack) {}
  template <class R>
  __device__ void store(SharedTile<R>& to, const Pack<R, pack>& numbers) const {
    to[term][at / pack] = numbers;
  }
};

// A thread's 8 x 4 outputs of a tile.
template <class R>
struct Products {
  R sum[thread_rows][pack] = {};
  __device__ static int row() { return int(threadIdx.x) / row_packs * thread_rows; }
  __device__ static int column() { return int(threadIdx.x) % row_packs * pack; }

  __device__ void add(const SharedTile<R>& a, const SharedTile<R>& b) {
    UNROLL for (int k = 0; k < depth; ++k) {
      const Pack<R, pack> columns = b[k][column() / pack];
      UNROLL for (int half = 0; half < thread_rows / pack; ++half) {
        const Pack<R, pack> rows = a[k][row() / pack + half];
        UNROLL for (int i = 0; i < pack; ++i) {
          UNROLL for (int j = 0; j < pack; ++j) {
            sum[half * pack + i][j] += rows.value[i] * columns.value[j];
          }
        }
      }
    }
  }
};

// The blocks of a launch: tiles of rows, those of columns, and chunks of the sum.
struct TileGrid {
  int64_t row_tiles, column_tiles, chunks, chunk;  // chunk: numbers of the sum that a block adds up
  TileGrid(int64_t rows, int64_t columns, int64_t sums, int64_t chunk_)
      : row_tiles((rows + tile - 1) / tile),
        column_tiles((columns + tile - 1) / tile),
        chunks(chunk_ > 0 ? (sums + chunk_ - 1) / chunk_ : 1),
        chunk(chunk_) {}
  dim3 grid() const { return dim3(unsigned(row_tiles * column_tiles), unsigned(chunks)); }
  dim3 block() const { return dim3(unsigned(tile_threads)); }
  int64_t steps() const { return (chunk + depth - 1) / depth; }
};

// Pixels by channels. Neighbouring blocks have the tiles of channels of the same pixels. `w` is the filter
// (k, k, Cin, Cout); TURNED computes the gradient, which sums over Cout.
template <bool TURNED, class T>
__global__ void __launch_bounds__(tile_threads)
    correlate_tiled(const T* source, const Accumulator<T>* w, T* out, Correlation c, int column_tiles) {
  using R = Accumulator<T>;
  __shared__ SharedTile<R> patches, filters;
  const int64_t pixels = c.pixels(), first_pixel = int64_t(blockIdx.x / unsigned(column_tiles)) * tile;
  const int first_channel = int(blockIdx.x % unsigned(column_tiles)) * tile, sums = int(c.sums());

  // The pixels whose patches this thread loads.
  const T* images[loads];
  int rows[loads], columns[loads];
  UNROLL for (int i = 0; i < loads; ++i) {
    const int64_t index = first_pixel + AlongSum(i).row;
    const CorrelationPixel pixel(c, index < pixels ? index : 0);
    images[i] = source + pixel.image * c.down.source * c.across.source * c.channels;
    rows[i] = index < pixels ? pixel.row : c.down.source;  // outside for all taps
    columns[i] = pixel.column;
  }

  Pack<T, pack> next_patch[loads];
  Pack<R, pack> next_filter[loads];
  const auto load = [&](int begin) {
    const int along = begin + AlongSum(0).at, tap = along / c.channels, channel = along % c.channels;
    const bool is_tap = along < sums;
    const int a = is_tap ? tap / c.across.taps : 0, b = is_tap ? tap % c.across.taps : 0;
    UNROLL for (int i = 0; i < loads; ++i) {
      const int row = rows[i] + a, column = columns[i] + b;
      next_patch[i] = {};
      if (is_tap && inside(row, c.down.source) && inside(column, c.across.source))
        next_patch[i] =
            load_pack<pack>(images[i] + (int64_t(row) * c.across.source + column) * c.channels + channel);
    }
    UNROLL for (int i = 0; i < loads; ++i) {
      next_filter[i] = {};
      if constexpr (TURNED) {  // w[tap][out channel][channel]: packs along the sum
        const int to = first_channel + AlongSum(i).row;
        if (is_tap && to < c.out_channels)
          next_filter[i] =
              load_pack<pack>(w + (int64_t(c.filter_tap(tap)) * c.out_channels + to) * c.channels + channel);
      } else {  // w[tap][channel][out channel]: packs across it; the taps are in order
        const int term = begin + AcrossSum(i).term, to = first_channel + AcrossSum(i).at;
        if (term < sums && to < c.out_channels)
          next_filter[i] = load_pack<pack>(w + int64_t(term) * c.out_channels + to);
      }
    }
  };

  Products<R> products;
  load(0);
  NO_UNROLL for (int begin = 0; begin < sums; begin += depth) {
    UNROLL for (int i = 0; i < loads; ++i) {
      AlongSum(i).store(patches, widened(next_patch[i]));
      if constexpr (TURNED)
        AlongSum(i).store(filters, next_filter[i]);
      else
        AcrossSum(i).store(filters, next_filter[i]);
    }
    __syncthreads();
    load(begin + depth);
    products.add(patches, filters);
    __syncthreads();
  }

  const int channel = first_channel + products.column();
  UNROLL for (int i = 0; i < thread_rows; ++i) {
    const int64_t index = first_pixel + products.row() + i;
    if (index >= pixels || channel >= c.out_channels) continue;
    const CorrelationPixel pixel(c, index);
    store_rounded<pack>(out + pixel.out * c.out_channels + channel, products.sum[i]);
  }
}

// Filter numbers (taps, Cin) by output channels, summed over the pixels of a chunk: writes partial (chunks, k
// k Cin, Cout).
template <class T>
__global__ void __launch_bounds__(tile_threads)
    weight_gradient_tiled(const T* x, const T* dy, Accumulator<T>* partial, Correlation c, int column_tiles,
                          int64_t chunk) {
  using R = Accumulator<T>;
  __shared__ SharedTile<R> patches, gradients;
  const int first_row = int(blockIdx.x / unsigned(column_tiles)) * tile, rows = int(c.sums());
  const int first_channel = int(blockIdx.x % unsigned(column_tiles)) * tile;
  const int64_t begin_pixel = int64_t(blockIdx.y) * chunk;
  const int64_t end_pixel = begin_pixel + chunk < c.pixels() ? begin_pixel + chunk : c.pixels();

  // The tap and channels that this thread loads of each pixel's patch.
  const int along = first_row + AcrossSum(0).at, tap = along / c.channels, channel = along % c.channels;
  const int a = tap / c.across.taps, b = tap % c.across.taps;
  const int to = first_channel + AcrossSum(0).at;

  Pack<T, pack> next_patch[loads], next_gradient[loads];
  const auto load = [&](int64_t begin) {
    UNROLL for (int i = 0; i < loads; ++i) {
      const int64_t index = begin + AcrossSum(i).term;
      const bool is_pixel = index < end_pixel;
      const CorrelationPixel pixel(c, is_pixel ? index : 0);
      const int row = pixel.row + a, column = pixel.column + b;
      next_patch[i] = {};
      if (is_pixel && along < rows && inside(row, c.down.source) && inside(column, c.across.source))
        next_patch[i] = load_pack<pack>(
            x + ((pixel.image * c.down.source + row) * c.across.source + column) * c.channels + channel);
      next_gradient[i] = {};
      if (is_pixel && to < c.out_channels)
        next_gradient[i] = load_pack<pack>(dy + index * c.out_channels + to);
    }
  };

  Products<R> products;
  load(begin_pixel);
  NO_UNROLL for (int64_t begin = begin_pixel; begin < end_pixel; begin += depth) {
    UNROLL for (int i = 0; i < loads; ++i) {
      AcrossSum(i).store(patches, widened(next_patch[i]));
      AcrossSum(i).store(gradients, widened(next_gradient[i]));
    }
    __syncthreads();
    load(begin + depth);
    products.add(patches, gradients);
    __syncthreads();
  }

  const int column = first_channel + products.column();
  UNROLL for (int i = 0; i < thread_rows; ++i) {
    const int row = first_row + products.row() + i;
    if (row >= rows || column >= c.out_channels) continue;
    store_rounded<pack>(partial + (int64_t(blockIdx.y) * rows + row) * c.out_channels + column,
                        products.sum[i]);
  }
}

bool comes_in_packs(const Conv2dDims& d) { return d.in_channels % pack == 0 && d.out_channels % pack == 0; }

template <bool TURNED, class T>
void correlate(const T* source, const Accumulator<T>* w, T* out, const Correlation& c) {
  const TileGrid grid(c.pixels(), c.out_channels, c.sums(), c.sums());
  const int64_t source_bytes = c.batch * c.down.source * c.across.source * c.channels * int64_t(sizeof(T));
  const int64_t filter_bytes = c.sums() * c.out_channels * int64_t(sizeof(Accumulator<T>));
  const LaunchConfig config = LaunchConfig(grid).moves(source_bytes + filter_bytes +
                                                       c.pixels() * c.out_channels * int64_t(sizeof(T)));
  launch(correlate_tiled<TURNED, T>, config, source, w, out, c, int(grid.column_tiles));
}

// Enough blocks to keep a large GPU busy; a chunk of fewer pixels is not worth its partial sums.
inline constexpr int64_t blocks_wanted = 1024, min_chunk = 256;

}  // namespace

template <class T>
bool conv2d_tiled(const T* x, const Accumulator<T>* w, T* y, const Conv2dDims& d) {
  if (!comes_in_packs(d)) return false;
  correlate<false>(x, w, y, Correlation::forward(d));
  return true;
}

template <class T>
bool conv2d_input_gradient_tiled(const Accumulator<T>* w, const T* dy, T* dx, const Conv2dDims& d) {
  if (!comes_in_packs(d)) return false;
  Correlation::each_input_gradient(d, [&](const Correlation& c) { correlate<true>(dy, w, dx, c); });
  return true;
}

template <class T>
bool conv2d_weight_gradient_tiled(const T* x, const T* dy, Accumulator<T>* dw, const Conv2dDims& d) {
  if (!comes_in_packs(d) || d.out_pixels() == 0) return false;
  const Correlation c = Correlation::forward(d);
  const int64_t rows = d.filter_rows(), columns = d.out_channels;
  const int64_t wanted =
      std::max<int64_t>(1, blocks_wanted / int64_t(TileGrid(rows, columns, 0, 0).grid().x));
  const int64_t most = std::max<int64_t>(1, d.out_pixels() / min_chunk), chunks = std::min(wanted, most);
  const int64_t chunk = (d.out_pixels() + chunks - 1) / chunks;
  const TileGrid grid(rows, columns, d.out_pixels(), chunk);
  const Workspace<Accumulator<T>> partial(grid.chunks * rows * columns);
  launch(weight_gradient_tiled<T>, grid, x, dy, partial.data(), c, int(grid.column_tiles), chunk);
  add_partials<Accumulator<T>>(partial.data(), dw, {1, grid.chunks, rows * columns});
  return true;
}

#define INSTANTIATE(T)                                                                                  \
  template bool conv2d_tiled<T>(const T*, const Accumulator<T>*, T*, const Conv2dDims&);                \
  template bool conv2d_input_gradient_tiled<T>(const Accumulator<T>*, const T*, T*, const Conv2dDims&); \
  template bool conv2d_weight_gradient_tiled<T>(const T*, const T*, Accumulator<T>*, const Conv2dDims&);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(bfloat16)

}  // namespace fovea::cuda
