// Depthwise convolution and its input gradient; depthwise_weight_gradient.cu has the other gradient. Bytes
// moved, with X = N P C and Y = N P' C: (X + Y) sizeof(T) each. With k 3 only that counts; with k 5 the 25
// multiply-adds for each number take about as long.
//
// The naive kernels read each input k k / (s s) times. In the tiled ones (depthwise_tiles.h) a thread walks
// down the rows of its pixels once; each row contributes to all outputs that it belongs to, and an output is
// stored after its last row. Filter and sums are in registers.
//
// On an H200 the bytes leave room for 29 instructions a number. k 3 takes 20 to 25 of them and k 5 38 to 43,
// which limits it. In bfloat16 with stride 1, depthwise_tensor_cores.cu takes fewer; what is left here with
// stride 2 is predicted at 0.74 to 0.96 of the bandwidth for k 3, and at 0.62 to 0.70 for k 5
// (bench/NOTES.md).
#include "cuda/device/columns.h"
#include "cuda/device/depthwise_tiles.h"
#include "cuda/device/grid.h"
#include "cuda/device/output_epilogue.h"
#include "cuda/kernels/depthwise_tensor_cores.h"

namespace fovea::cuda {
namespace {

// The place of element i of a tensor (N, P, C), whose maps are the levels' `in` or `out`.
struct LevelPlace {
  int64_t image;
  DepthwiseLevel level;
  int row, column, channel;
  __device__ LevelPlace(int64_t i, const DepthwiseConv2dDims& d, FeatureMap DepthwiseLevel::*map)
      : image(i / d.channels / (d.level[0].*map).image), channel(int(i % d.channels)) {
    const int pixel = int(i / d.channels % (d.level[0].*map).image);
    int l = 0;
    while (l + 1 < d.levels && pixel >= (d.level[l + 1].*map).first) ++l;
    level = d.level[l];
    row = (pixel - (level.*map).first) / (level.*map).width;
    column = (pixel - (level.*map).first) % (level.*map).width;
  }
};

// One thread per output: the definition.
template <class T>
__global__ void depthwise_naive(const T* x, const Accumulator<T>* w, T* y, DepthwiseConv2dDims d, int64_t n) {
  for (int64_t i : grid_stride(n)) {
    const LevelPlace at(i, d, &DepthwiseLevel::out);
    const FeatureMap& in = at.level.in;
    Accumulator<T> sum = 0;
    for (int a = 0; a < d.kernel; ++a)
      for (int b = 0; b < d.kernel; ++b) {
        const int row = at.row * d.stride + a - at.level.pad_y,
                  column = at.column * d.stride + b - at.level.pad_x;
        if (!inside(row, in.height) || !inside(column, in.width)) continue;
        sum += Accumulator<T>(x[in.pixel(at.image, row, column) * d.channels + at.channel]) *
               Accumulator<T>(T(w[(a * d.kernel + b) * d.channels + at.channel]));
      }
    y[i] = T(sum);
  }
}

// One thread per dx, from the output pixels (o, q) whose tap (a, b) reads it: o s + a - p = row.
template <class T>
__global__ void input_gradient_naive(const Accumulator<T>* w, const T* dy, T* dx, DepthwiseConv2dDims d,
                                     int64_t n) {
  for (int64_t i : grid_stride(n)) {
    const LevelPlace at(i, d, &DepthwiseLevel::in);
    const FeatureMap& out = at.level.out;
    Accumulator<T> sum = 0;
    for (int a = 0; a < d.kernel; ++a)
      for (int b = 0; b < d.kernel; ++b) {
        const int o = at.row + at.level.pad_y - a, q = at.column + at.level.pad_x - b;  // times the stride
        if (o % d.stride || q % d.stride || !inside(o, out.height * d.stride) ||
            !inside(q, out.width * d.stride))
          continue;
        sum += Accumulator<T>(dy[out.pixel(at.image, o / d.stride, q / d.stride) * d.channels + at.channel]) *
               Accumulator<T>(T(w[(a * d.kernel + b) * d.channels + at.channel]));
      }
    dx[i] = T(sum);
  }
}

// The forward pass or the input gradient in the tiles chunk, chunk + chunks, ... of a slab of channels: as
// many chunks as the GPU holds blocks, so that filters are loaded once and no part of it idles in the last
// wave.
template <int K, int S, bool GRADIENT, int HEIGHT, class Output, class T>
__device__ inline void correlate(const T* from, const float* w, T* to, const Tiling& t, int chunks,
                                 const OutputEpilogue& epilogue) {
  using A = Axis<K, S, GRADIENT>;
  constexpr bool normalized = std::is_same_v<Output, Normalized>, gathered = std::is_same_v<Output, Gathered>;
  constexpr int STEP = A::step(width);
  T* const shared = dynamic_shared<T>();
  const int channels = t.d.channels, first = int(t.by_slabs.remainder(blockIdx.x)) * slab<T>,
            channel = first + 2 * int(threadIdx.x), chunk = int(t.by_slabs.quotient(blockIdx.x));
  const int thread_row = int(t.by_columns.quotient(threadIdx.y)),
            thread_column = int(t.by_columns.remainder(threadIdx.y));
  const int pitch = t.source.pitch * slab<T>;
  float filter[K * K][2] = {};
  OutputNorm<2> norm;
  OutputSums<2> sums;
  int gathered_rows = 0;
  if (channel < channels) {
    UNROLL for (int tap = 0; tap < K * K; ++tap) {
      load_pair(filter[tap], w + tap * channels + channel);
      UNROLL for (int k = 0; k < 2; ++k) { filter[tap][k] = float(T(filter[tap][k])); }
    }
    if constexpr (normalized) norm = OutputNorm<2>(epilogue, channel);
  }
  NO_UNROLL for (int index = chunk; index < t.d.batch * t.tiles; index += chunks) {
    const TilePlace at(unsigned(index), t);
    const FeatureMap& map = at.level.*A::to;
    fetch<STEP, A::span(HEIGHT)>(shared, t.source, from, at.level.*A::from, at.image,
                                 A::begin(at.level.pad_y) + A::step(at.row),
                                 A::begin(at.level.pad_x) + A::step(at.column), first, channels);
    wait_for_copies();
    __syncthreads();

    const int row = at.row - A::before(at.level.pad_y) + thread_row * HEIGHT,
              column = at.column - A::before(at.level.pad_x) + thread_column * width;
    if constexpr (gathered) {
      if (index == chunk) {  // the pivot is the first output of the block's first tile
        EXPECT_SKIPPED(1);
        UNROLL for (int tap = 0; tap < K * K; ++tap) {
          float number[2];
          load_pair(number,
                    shared + tap / K * pitch + (tap % K + tap % K / STEP) * slab<T> + 2 * int(threadIdx.x));
          UNROLL for (int k = 0; k < 2; ++k) { sums.pivot[k] += filter[tap][k] * number[k]; }
        }
      }
      const int rows = t.rows * HEIGHT, columns = t.columns * width;
      gathered_rows += (rows < map.height - at.row ? rows : map.height - at.row) *
                       (columns < map.width - at.column ? columns : map.width - at.column);
    }
    if (channel < channels && row < map.height && column < map.width) {
      const T* source = shared + thread_row * A::step(HEIGHT) * pitch + thread_column * (STEP + 1) * slab<T> +
                        2 * int(threadIdx.x);
      T* result = to + map.pixel(at.image, row, column) * channels + channel;
      const int rows = map.height - row, columns = map.width - column, line = map.width * channels;
      float sum[HEIGHT][width * 2] = {};
      UNROLL for (int i = 0; i < A::span(HEIGHT); ++i, source += pitch) {
        UNROLL for (int j = 0; j < A::span(width); ++j) {
          float number[2];
          load_pair(number, source + (j + j / STEP) * slab<T>);
          UNROLL for (int a = 0; a < K; ++a) {
            UNROLL for (int b = 0; b < K; ++b) {
              const int r = A::output(i, a), p = A::output(j, b);
              if (r < 0 || r >= HEIGHT || p < 0 || p >= width) continue;
              UNROLL for (int k = 0; k < 2; ++k) { sum[r][2 * p + k] += filter[a * K + b][k] * number[k]; }
            }
          }
        }
        UNROLL for (int r = 0; r < HEIGHT; ++r) {
          if (A::last(r) != i) continue;
          if constexpr (normalized) norm.template apply<T>(epilogue.activation, sum[r]);
          const bool above = A::before(1) && r == 0 && row < 0;
          UNROLL for (int p = 0; p < width; ++p) {
            const bool left = A::before(1) && p == 0 && column < 0;
            const bool wanted = r < rows && p < columns && !above && !left;
            float y[2] = {sum[r][2 * p], sum[r][2 * p + 1]};
            store_pair(result + p * channels, y, wanted);
            if constexpr (gathered) {  // a distance of 0 takes fewer instructions than a branch
              UNROLL for (int k = 0; k < 2; ++k) { sums.add(k, wanted ? y[k] : sums.pivot[k]); }
            }
          }
          result += line;
        }
      }
    }
    __syncthreads();
  }
  if constexpr (gathered) {
    block_column_sum(sums.values);  // in 16 bytes per thread, fewer than the tile has
    if (threadIdx.y == 0 && channel < channels) sums.store(epilogue, chunk, gathered_rows, channel, channels);
  }
}

// Threads that a multiprocessor should hold: with more, each has too few registers.
template <int K, int S, bool GRADIENT, class Output>
inline constexpr int threads_held = K == 5                                                  ? 512
                                    : GRADIENT || (S == 1 && std::is_same_v<Output, Plain>) ? 1024
                                                                                            : 768;
template <int K, int S, bool GRADIENT, class Output, class T>
inline constexpr int blocks_held = threads_held<K, S, GRADIENT, Output> / tile_threads<T>;

template <int K, int S, int HEIGHT, class Output, class T>
__global__ void __launch_bounds__(tile_threads<T>, blocks_held<K, S, false, Output, T>)
    depthwise_tiled(const T* x, const float* w, T* y, Tiling t, int chunks, OutputEpilogue epilogue) {
  correlate<K, S, false, HEIGHT, Output>(x, w, y, t, chunks, epilogue);
}
template <int K, int S, int HEIGHT, class T>
__global__ void __launch_bounds__(tile_threads<T>, blocks_held<K, S, true, Plain, T>)
    input_gradient_tiled(const T* dy, const float* w, T* dx, Tiling t, int chunks) {
  correlate<K, S, true, HEIGHT, Plain>(dy, w, dx, t, chunks, {});
}

// Rows of a thread: with 8, the forward pass of stride 2, or of k 5 in float, would not fit into the
// registers.
template <int K, int S, bool GRADIENT, class T>
inline constexpr int tall = GRADIENT || (S == 1 && !(K == 5 && sizeof(T) == 4)) ? 8 : 4;

}  // namespace

template <class T>
int64_t depthwise_conv2d_chunks(const DepthwiseConv2dDims& d) {
  int64_t chunks = 0;
  if constexpr (std::is_same_v<T, bfloat16>) chunks = depthwise_conv2d_chunks_on_tensor_cores<T>(d);
  if (chunks > 0) return chunks;
  tiled<T>(d, [&]<int K, int S>() {
    with_tiling<Axis<K, S, false>, T, tall<K, S, false, T>, 2>(
        d, [&]<int>(const Tiling& t) { chunks = t.chunks(blocks_held<K, S, false, Gathered, T>); });
  });
  return chunks;
}

template <class T>
void depthwise_conv2d(const T* x, const Accumulator<T>* w, T* y, const DepthwiseConv2dDims& d,
                      const OutputEpilogue& epilogue) {
  if constexpr (std::is_same_v<T, bfloat16>) {
    if (depthwise_conv2d_on_tensor_cores(x, w, y, d, epilogue)) return;
  }
  const bool done = tiled<T>(d, [&]<int K, int S>() {
    with_tiling<Axis<K, S, false>, T, tall<K, S, false, T>, 2>(d, [&]<int HEIGHT>(const Tiling& t) {
      const auto run = [&]<class Output>(Output) {
        const int64_t chunks = t.chunks(blocks_held<K, S, false, Output, T>);
        launch(depthwise_tiled<K, S, HEIGHT, Output, T>, t.template config<T>(chunks, t.source.pixels()), x,
               w, y, t, int(chunks), epilogue);
      };
      if (epilogue.statistics) return run(Gathered());
      epilogue.weight ? run(Normalized()) : run(Plain());
    });
  });
  const int64_t n = d.batch * d.level[0].out.image * d.channels;
  if (!done) launch(depthwise_naive<T>, {grid_for(n), block_threads}, x, w, y, d, n);
}

template <class T>
void depthwise_conv2d_input_gradient(const Accumulator<T>* w, const T* dy, T* dx,
                                     const DepthwiseConv2dDims& d) {
  if constexpr (std::is_same_v<T, bfloat16>) {
    if (depthwise_conv2d_input_gradient_on_tensor_cores(w, dy, dx, d)) return;
  }
  const bool done = tiled<T>(d, [&]<int K, int S>() {
    with_tiling<Axis<K, S, true>, T, tall<K, S, true, T>, 2>(d, [&]<int HEIGHT>(const Tiling& t) {
      const int64_t chunks = t.chunks(blocks_held<K, S, true, Plain, T>);
      launch(input_gradient_tiled<K, S, HEIGHT, T>, t.template config<T>(chunks, t.source.pixels()), dy, w,
             dx, t, int(chunks));
    });
  });
  const int64_t n = d.batch * d.level[0].in.image * d.channels;
  if (!done) launch(input_gradient_naive<T>, {grid_for(n), block_threads}, w, dy, dx, d, n);
}

#define INSTANTIATE(T)                                                                               \
  template int64_t depthwise_conv2d_chunks<T>(const DepthwiseConv2dDims&);                           \
  template void depthwise_conv2d<T>(const T*, const Accumulator<T>*, T*, const DepthwiseConv2dDims&, \
                                    const OutputEpilogue&);                                          \
  template void depthwise_conv2d_input_gradient<T>(const Accumulator<T>*, const T*, T*,              \
                                                   const DepthwiseConv2dDims&);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(bfloat16)

}  // namespace fovea::cuda
