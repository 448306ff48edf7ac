// The weight gradient of a depthwise convolution: it reads X and Y of depthwise_conv2d.cu once, and each
// block writes and reads k k 64 bytes of partial sums. The tiled kernel has as many blocks as the GPU holds,
// for any number of channels; a thread keeps its sums in registers over all tiles of its block. Instructions
// limit it: 20 a number for k 3, 38 for k 5, where the bytes leave room for 29. On tensor cores it takes 9
// and 13, beside products that keep them busy for as long as 10 and 26 instructions.
#include "cuda/device/depthwise_tiles.h"
#include "cuda/device/grid.h"
#include "cuda/device/last_block.h"
#include "cuda/device/sm_80.h"
#include "cuda/kernels/depthwise_tensor_cores.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/stream.h"

namespace fovea::cuda {
namespace {

// One thread per weight: it walks over all pixels.
template <class T>
__global__ void weight_gradient_naive(const T* x, const T* dy, Accumulator<T>* dw, DepthwiseConv2dDims d) {
  for (int64_t i : grid_stride(int64_t(d.kernel) * d.kernel * d.channels)) {
    const PixelPlace at(i, d.kernel, d.kernel, d.channels);  // row and column are a and b
    Accumulator<T> sum = 0;
    for (int l = 0; l < d.levels; ++l) {
      const FeatureMap &in = d.level[l].in, &out = d.level[l].out;
      for (int64_t image = 0; image < d.batch; ++image)
        for (int o = 0; o < out.height; ++o)
          for (int q = 0; q < out.width; ++q) {
            const int row = o * d.stride + at.row - d.level[l].pad_y,
                      column = q * d.stride + at.column - d.level[l].pad_x;
            if (!inside(row, in.height) || !inside(column, in.width)) continue;
            sum += Accumulator<T>(dy[out.pixel(image, o, q) * d.channels + at.channel]) *
                   Accumulator<T>(x[in.pixel(image, row, column) * d.channels + at.channel]);
          }
    }
    dw[i] = sum;
  }
}

// Blocks that a multiprocessor should hold.
template <int K, class T>
inline constexpr int blocks_held = (K == 5 ? 512 : 768) / tile_threads<T>;
inline constexpr int shared_memory = 220 << 10;  // bytes per multiprocessor on an H100 or H200
inline constexpr int chunks_together = 16;

// Adds `count` consecutive sums (k, k, SLAB) into to[tap stride + channel], for channels below `channels`.
// All THREADS of the block call it.
template <int TAPS, int SLAB, int THREADS>
__device__ inline void add_sums(const float* from, int count, float* to, int stride, int channels) {
  constexpr int N = 4, at_once = 8;  // loads in flight per thread
  UNROLL for (int turn = 0; turn * N * THREADS < TAPS * SLAB; ++turn) {
    const int i = N * (turn * THREADS + int(threadIdx.y * blockDim.x + threadIdx.x));
    if (i >= TAPS * SLAB) break;
    float sum[N] = {};
    NO_UNROLL for (int chunk = 0; chunk < count; chunk += at_once) {
      Pack<float, N> part[at_once] = {};
      UNROLL for (int k = 0; k < at_once; ++k) {
        if (chunk + k < count) part[k] = load_pack<N>(from + (chunk + k) * TAPS * SLAB + i);
      }
      UNROLL for (int k = 0; k < at_once; ++k) {
        UNROLL for (int m = 0; m < N; ++m) { sum[m] += part[k].value[m]; }
      }
    }
    if (i % SLAB < channels) store_rounded<N>(to + i / SLAB * stride + i % SLAB, sum);
  }
}

// The sums of a slab of channels in the order of its blocks: the last of 16 blocks adds those of the 16, and
// the last of all blocks those of all groups of 16. `partial` has for each slab the sums of its blocks, then
// those of its groups, (k, k, SLAB) each.
template <int K, class T>
class Sums {
 public:
  __device__ Sums(float* partial, unsigned* tickets, int slab_index, int chunk, int chunks)
      : groups_(groups(chunks)),
        group_(chunk / chunks_together),
        in_group_(chunks - group_ * chunks_together < chunks_together ? chunks - group_ * chunks_together
                                                                      : chunks_together),
        of_group_(partial + (int64_t(slab_index) * (chunks + groups_) + group_ * chunks_together) * size),
        of_chunk_(of_group_ + chunk % chunks_together * size),
        of_groups_(of_chunk_ + (chunks - chunk) * size),
        tickets_(tickets + slab_index * (groups_ + 1)) {}
  HD static int groups(int chunks) { return (chunks + chunks_together - 1) / chunks_together; }

  __device__ float* of_chunk() const { return of_chunk_; }
  // All threads call it after the block has written of_chunk(). The last block writes to[tap stride +
  // channel] for channels below `channels`.
  __device__ void finish(float* to, int stride, int channels) const {
    constexpr int threads = tile_threads<T>;
    if (!is_last_block(tickets_ + group_, unsigned(in_group_))) return;
    const float* from = of_group_;
    if (groups_ > 1) {
      add_sums<K * K, slab<T>, threads>(from, in_group_, of_groups_ + group_ * size, slab<T>, slab<T>);
      if (!is_last_block(tickets_ + groups_, unsigned(groups_))) return;
      from = of_groups_;
    }
    add_sums<K * K, slab<T>, threads>(from, groups_ > 1 ? groups_ : in_group_, to, stride, channels);
  }

 private:
  static constexpr int size = K * K * slab<T>;
  int groups_, group_, in_group_;
  float *of_group_, *of_chunk_, *of_groups_;
  unsigned* tickets_;
};

// Memory and tickets for these sums.
template <int K, class T>
struct SumBuffers {
  Workspace<float> partial;
  unsigned* tickets;
  SumBuffers(int slabs, int64_t chunks)
      : partial(slabs * (chunks + Sums<K, T>::groups(int(chunks))) * K * K * slab<T>),
        tickets(current_stream().tickets(slabs * (Sums<K, T>::groups(int(chunks)) + 1))) {}
};

// A block has a slab of channels and the tiles chunk, chunk + chunks, ... of it. Each thread keeps k k sums
// for its two channels over all of them. Then the block adds the sums of its threads.
template <int K, int S, int HEIGHT, class T>
__global__ void __launch_bounds__(tile_threads<T>, blocks_held<K, T>)
    weight_gradient_tiled(const T* x, const T* dy, float* partial, float* dw, unsigned* tickets, Tiling t,
                          SharedTile dy_tile, int chunks) {
  constexpr int STEP = S * width, SLAB = slab<T>, TAPS = K * K;
  using A = Axis<K, S, false>;
  T *const x_shared = dynamic_shared<T>(), *const dy_shared = x_shared + t.source.pixels() * SLAB;
  const int slab_index = int(t.by_slabs.remainder(blockIdx.x)), chunk = int(t.by_slabs.quotient(blockIdx.x)),
            first = slab_index * SLAB, pair = 2 * int(threadIdx.x);
  const int thread_row = int(t.by_columns.quotient(threadIdx.y)),
            thread_column = int(t.by_columns.remainder(threadIdx.y));
  float sum[TAPS][2] = {};
  NO_UNROLL for (int index = chunk; index < t.d.batch * t.tiles; index += chunks) {
    const TilePlace at(unsigned(index), t);
    fetch<STEP, A::span(HEIGHT)>(x_shared, t.source, x, at.level.in, at.image, at.row * S - at.level.pad_y,
                                 at.column * S - at.level.pad_x, first, t.d.channels);
    fetch<width, HEIGHT>(dy_shared, dy_tile, dy, at.level.out, at.image, at.row, at.column, first,
                         t.d.channels);
    wait_for_copies();
    __syncthreads();
    if (thread_row < t.rows) {  // a low map leaves some threads without rows
      const T* source =
          x_shared + (thread_row * HEIGHT * S * t.source.pitch + thread_column * (STEP + 1)) * SLAB + pair;
      const T* gradient =
          dy_shared + (thread_row * HEIGHT * dy_tile.pitch + thread_column * (width + 1)) * SLAB + pair;
      float d[HEIGHT][width][2];
      UNROLL for (int i = 0; i < A::span(HEIGHT); ++i, source += t.source.pitch * SLAB) {
        if (i % S == 0 && i / S < HEIGHT) {  // this row of x is the first that needs that row of dy
          UNROLL for (int p = 0; p < width; ++p) { load_pair(d[i / S][p], gradient + p * SLAB); }
          gradient += dy_tile.pitch * SLAB;
        }
        UNROLL for (int j = 0; j < A::span(width); ++j) {
          float number[2];
          load_pair(number, source + (j + j / STEP) * SLAB);
          UNROLL for (int r = 0; r < HEIGHT; ++r) {
            UNROLL for (int p = 0; p < width; ++p) {
              const int a = i - r * S, b = j - p * S;
              if (a < 0 || a >= K || b < 0 || b >= K) continue;
              sum[a * K + b][0] += d[r][p][0] * number[0];
              sum[a * K + b][1] += d[r][p][1] * number[1];
            }
          }
        }
      }
    }
    __syncthreads();
  }

  float* const of_threads = dynamic_shared<float>();
  UNROLL for (int tap = 0; tap < TAPS; ++tap) {
    float* to = of_threads + (int(threadIdx.y) * TAPS + tap) * SLAB + pair;
    to[0] = sum[tap][0];
    to[1] = sum[tap][1];
  }
  __syncthreads();
  const Sums<K, T> sums(partial, tickets, slab_index, chunk, chunks);
  add_sums<TAPS, SLAB, tile_threads<T>>(of_threads, int(blockDim.y), sums.of_chunk(), SLAB, SLAB);
  sums.finish(dw + first, t.d.channels, t.d.channels - first);
}

// ---- On tensor cores. A multiplication takes eight channels of x and of dy, with 16 pixels as its inner
// dimension. It multiplies every pair of channels, and only the diagonal is the result:
//   dw (8, 8) = sum over pixels of dy^T (8, pixels) x at the tap (pixels, 8)
// It covers two rows of the filter at once, so 256 of its 2048 multiply-adds contribute to the result.

using namespace tensor_cores;

inline constexpr int rows_above = 1, rows_below = 2;  // a tile of dy has zeros above and below it

// A warp's eight channels of a tile. It takes x two rows at a time, eight columns each: the pixels of the
// inner dimension. Below row i of x are rows i - a of dy for all rows a of the filter.
template <int K>
struct TapSums {
  static constexpr int shifts = (K + 1) / 2, pairs = (K + 1) / 2;  // pairs of columns and rows of the filter
  float of[pairs][K][4] = {};

  // The places of this lane in the first matrices of x, of the last column of the filter, which has no
  // neighbour, and of dy.
  __device__ void add(const bfloat16* x, const bfloat16* x_last, const bfloat16* dy) {
    // With r = i - 2 p, gradients[p] has rows r, r - 1, r + 1 and again r of dy.
    uint32_t gradients[pairs][4] = {};
    UNROLL for (int i = 0; i < source_tile<K>; i += 2) {
      UNROLL for (int p = pairs - 1; p > 0; --p) {
        UNROLL for (int m = 0; m < 4; ++m) { gradients[p][m] = gradients[p - 1][m]; }
      }
      if (i <= tile)
        load_matrices<true>(gradients[0], reinterpret_cast<const Numbers*>(dy + i * tile * pixel));
      UNROLL for (int j = 0; j < shifts; ++j) {
        uint32_t pixels[4];
        const bfloat16* const from = 2 * j + 1 < K ? x : x_last;
        load_matrices<true>(pixels,
                            reinterpret_cast<const Numbers*>(from + (i * source_tile<K> + 2 * j) * pixel));
        UNROLL for (int p = 0; p < pairs; ++p) {
          if (i < 2 * p || i - 2 * p > tile) continue;
          multiply_add(of[p][2 * j], gradients[p], pixels);
          if (2 * j + 1 < K) multiply_add(of[p][2 * j + 1], gradients[p], pixels + 2);
        }
      }
    }
  }
  // to[tap slab], for the channel of this lane, if it has one.
  __device__ void store(float* to, int lane) const {
    const int channel = lane / 4;
    if (lane % 4 != channel / 2) return;
    UNROLL for (int tap = 0; tap < K * K; ++tap) {
      const float(&sums)[4] = of[tap / K / 2][tap % K];
      const int row = tap / K % 2 * 2;
      to[tap * slab<bfloat16> + channel] = channel % 2 ? sums[row + 1] : sums[row];
    }
  }
};

// Blocks that a multiprocessor should hold: as many as its shared memory does.
inline constexpr int diagonal_blocks_held = 4;

template <int K>
__global__ void __launch_bounds__(threads, diagonal_blocks_held)
    weight_gradient_diagonals(const bfloat16* x, const bfloat16* dy, float* partial, float* dw,
                              unsigned* tickets, Tiling t, int chunks) {
  constexpr int pitch = source_tile<K>;
  bfloat16 *const x_shared = dynamic_shared<bfloat16>(), *const dy_shared = x_shared + pitch * pitch * pixel;
  const int thread = int(threadIdx.y) * threads_across + int(threadIdx.x), lane = thread % warp_size,
            warp = thread / warp_size;
  const int slab_index = int(t.by_slabs.remainder(blockIdx.x)), chunk = int(t.by_slabs.quotient(blockIdx.x)),
            first = slab_index * slab<bfloat16>;
  // The rows around a tile of dy, which belong to other tiles, are 0.
  for (int i = thread; i < (rows_above + rows_below) * tile * pixel / pack; i += threads) {
    EXPECT_TRIPS(2);
    const int above = rows_above * tile * pixel / pack;
    reinterpret_cast<uint4*>(dy_shared)[i < above ? i : i + tile * tile * pixel / pack] = {0, 0, 0, 0};
  }
  // Matrices 0 and 1 of x are one below the other, 2 and 3 a column to the right. Matrices 0 and 3 of dy are
  // a row, 1 is the one above, and 2 the one below.
  const int matrix = lane / 8;
  const bfloat16* const of_last = x_shared + warp * pack + (matrix % 2 * pitch + lane % 8) * pixel;
  const bfloat16* const of_x = of_last + matrix / 2 * pixel;
  const int row_of_dy = rows_above + matrix / 2 - matrix % 2;
  const bfloat16* const of_dy = dy_shared + warp * pack + (row_of_dy * tile + lane % 8) * pixel;
  TapSums<K> sums;
  NO_UNROLL for (int index = chunk; index < t.d.batch * t.tiles; index += chunks) {
    const TilePlace at(unsigned(index), t);
    fetch_source<K>(x_shared, x, at.level.in, at.image, at.row - at.level.pad_y, at.column - at.level.pad_x,
                    first, t.d.channels);
    fetch_fixed<tile, tile, tile>(dy_shared + rows_above * tile * pixel, dy, at.level.out, at.image, at.row,
                                  at.column, first, t.d.channels);
    wait_for_copies();
    __syncthreads();
    NO_UNROLL for (int column = 0; column < tile; column += 8) {
      EXPECT_TRIPS(tile / 8);
      sums.add(of_x + column * pixel, of_last + column * pixel, of_dy + column * pixel);
    }
    __syncthreads();
  }
  const Sums<K, bfloat16> of_blocks(partial, tickets, slab_index, chunk, chunks);
  sums.store(of_blocks.of_chunk() + warp * pack, lane);
  of_blocks.finish(dw + first, t.d.channels, t.d.channels - first);
}

}  // namespace

template <class T>
bool depthwise_conv2d_weight_gradient_on_tensor_cores(const T* x, const T* dy, float* dw,
                                                      const DepthwiseConv2dDims& d) {
  return with_tiles<false>(d, [&]<int K>(const Tiling& t) {
    const int64_t chunks = t.chunks(diagonal_blocks_held);
    const SumBuffers<K, bfloat16> buffers(t.slabs, chunks);
    constexpr int pixels = source_tile<K> * source_tile<K> + (rows_above + tile + rows_below) * tile;
    launch(weight_gradient_diagonals<K>, config_of(t, chunks, pixels), x, dy, buffers.partial.data(), dw,
           buffers.tickets, t, int(chunks));
  });
}

template <class T>
void depthwise_conv2d_weight_gradient(const T* x, const T* dy, Accumulator<T>* dw,
                                      const DepthwiseConv2dDims& d) {
  if constexpr (std::is_same_v<T, bfloat16>) {
    if (depthwise_conv2d_weight_gradient_on_tensor_cores(x, dy, dw, d)) return;
  }
  const bool done = tiled<T>(d, [&]<int K, int S>() {
    with_tiling<Axis<K, S, false>, T, 8 / S, 4 / S>(d, [&]<int HEIGHT>(const Tiling& t) {
      const SharedTile dy_tile(t.rows * HEIGHT, t.columns * width, width);
      const int sums =
                    max_lines * K * K * int(sizeof(float) / sizeof(T)),  // for all threads, counted in pixels
          pixels = std::max(t.source.pixels() + dy_tile.pixels(), sums);
      const int64_t chunks = t.chunks(std::min(blocks_held<K, T>, shared_memory / (pixels * slab_bytes)));
      const SumBuffers<K, T> buffers(t.slabs, chunks);
      LaunchConfig config = t.template config<T>(chunks, pixels);
      config.block.y = max_lines;
      launch(weight_gradient_tiled<K, S, HEIGHT, T>, config, x, dy, buffers.partial.data(), dw,
             buffers.tickets, t, dy_tile, int(chunks));
    });
  });
  const int64_t n = int64_t(d.kernel) * d.kernel * d.channels;
  if (!done) launch(weight_gradient_naive<T>, {grid_for(n), block_threads}, x, dy, dw, d);
}

#define INSTANTIATE(T)                                                                   \
  template void depthwise_conv2d_weight_gradient<T>(const T*, const T*, Accumulator<T>*, \
                                                    const DepthwiseConv2dDims&);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(bfloat16)
template bool depthwise_conv2d_weight_gradient_on_tensor_cores<bfloat16>(const bfloat16*, const bfloat16*,
                                                                         float*, const DepthwiseConv2dDims&);

}  // namespace fovea::cuda
