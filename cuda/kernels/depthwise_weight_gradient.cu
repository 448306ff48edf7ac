// The weight gradient of a depthwise convolution: it reads X and Y of depthwise_conv2d.cu once, and each
// block writes and reads k k 64 bytes of partial sums. The tiled kernel has as many blocks as the GPU holds,
// for any number of channels; a thread keeps its sums in registers over all tiles of its block. Instructions
// limit it: 20 a number for k 3, 38 for k 5, where the bytes leave room for 29.
#include "cuda/device/depthwise_tiles.h"
#include "cuda/device/grid.h"
#include "cuda/device/last_block.h"
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

// A block has a slab of channels and the tiles chunk, chunk + chunks, ... of it. Each thread keeps k k sums
// for its two channels over all of them. Then the block adds the sums of its threads, the last of 16 blocks
// those of the 16, and the last of all blocks those of all groups of 16. `partial` has for each slab the sums
// of its blocks, then those of its groups.
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
  NO_UNROLL for (int64_t index = chunk; index < t.d.batch * t.tiles; index += chunks) {
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
  constexpr int SIZE = TAPS * SLAB;
  const int groups = (chunks + chunks_together - 1) / chunks_together, group = chunk / chunks_together,
            begin = group * chunks_together,
            in_group = chunks - begin < chunks_together ? chunks - begin : chunks_together;
  float* const of_chunks = partial + int64_t(slab_index) * (chunks + groups) * SIZE;
  float* const of_groups = of_chunks + chunks * SIZE;
  tickets += slab_index * (groups + 1);
  add_sums<TAPS, SLAB, tile_threads<T>>(of_threads, int(blockDim.y), of_chunks + chunk * SIZE, SLAB, SLAB);
  if (!is_last_block(tickets + group, unsigned(in_group))) return;
  const float* from = of_chunks + begin * SIZE;
  if (groups > 1) {
    add_sums<TAPS, SLAB, tile_threads<T>>(from, in_group, of_groups + group * SIZE, SLAB, SLAB);
    if (!is_last_block(tickets + groups, unsigned(groups))) return;
    from = of_groups;
  }
  add_sums<TAPS, SLAB, tile_threads<T>>(from, groups > 1 ? groups : in_group, dw + first, t.d.channels,
                                        t.d.channels - first);
}

}  // namespace

template <class T>
void depthwise_conv2d_weight_gradient(const T* x, const T* dy, Accumulator<T>* dw,
                                      const DepthwiseConv2dDims& d) {
  const bool done = tiled<T>(d, [&]<int K, int S>() {
    with_tiling<Axis<K, S, false>, T, 8 / S, 4 / S>(d, [&]<int HEIGHT>(const Tiling& t) {
      const SharedTile dy_tile(t.rows * HEIGHT, t.columns * width, width);
      const int sums =
                    max_lines * K * K * int(sizeof(float) / sizeof(T)),  // for all threads, counted in pixels
          pixels = std::max(t.source.pixels() + dy_tile.pixels(), sums);
      const int64_t chunks = t.chunks(std::min(blocks_held<K, T>, shared_memory / (pixels * slab_bytes))),
                    groups = (chunks + chunks_together - 1) / chunks_together;
      const Workspace<float> partial(t.slabs * (chunks + groups) * K * K * slab<T>);
      LaunchConfig config = t.template config<T>(chunks, pixels);
      config.block.y = max_lines;
      launch(weight_gradient_tiled<K, S, HEIGHT, T>, config, x, dy, partial.data(), dw,
             current_stream().tickets(t.slabs * (groups + 1)), t, dy_tile, int(chunks));
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

}  // namespace fovea::cuda
