// Depthwise convolution and its input gradient; depthwise_weight_gradient.cu has the other gradient. Bytes
// moved, with X = N P C and Y = N P' C: (X + Y) sizeof(T) each. That is all that counts with k 3; with k 5
// the 25 multiply-adds for each number take about as long.
//
// The naive kernels read each input k k / (s s) times. In the tiled ones (depthwise_tiles.h) a thread walks
// down the rows of its pixels once; each row meets all outputs that it belongs to, and an output is stored
// when its last row has come. Filter and sums are in registers.
#include "cuda/device/depthwise_tiles.h"
#include "cuda/device/grid.h"

namespace fovea::cuda {
namespace {

// Where element i of a tensor (N, P, C) lies, whose maps are the levels' `in` or `out`.
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

// One thread one output: the definition.
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
               w[(a * d.kernel + b) * d.channels + at.channel];
      }
    y[i] = T(sum);
  }
}

// One thread one dx: from the output pixels (o, q) whose tap (a, b) sees it, o s + a - p = row.
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
               w[(a * d.kernel + b) * d.channels + at.channel];
      }
    dx[i] = T(sum);
  }
}

// One tile of the forward pass or of the input gradient.
template <int K, int S, bool GRADIENT, int HEIGHT, class T>
__device__ inline void correlate(const T* from, const float* w, T* to, const Tiling& t) {
  using A = Axis<K, S, GRADIENT>;
  constexpr int STEP = A::step(width);
  T* const shared = dynamic_shared<T>();
  const int channels = t.d.channels, first = int(blockIdx.x % unsigned(t.slabs)) * slab<T>,
            channel = first + 2 * int(threadIdx.x);
  const TilePlace at(blockIdx.x / unsigned(t.slabs), t);
  const FeatureMap& map = at.level.*A::to;
  fetch<STEP>(shared, t.source, from, at.level.*A::from, at.image, A::begin(at.level.pad_y) + A::step(at.row),
              A::begin(at.level.pad_x) + A::step(at.column), first, channels);
  float filter[K * K][2] = {};
  if (channel < channels) {
    UNROLL for (int tap = 0; tap < K * K; ++tap) { load_pair(filter[tap], w + tap * channels + channel); }
  }
  wait_for_copies();
  __syncthreads();

  const int thread_row = int(threadIdx.y / unsigned(t.columns)),
            thread_column = int(threadIdx.y % unsigned(t.columns));
  const int row = at.row - A::before(at.level.pad_y) + thread_row * HEIGHT,
            column = at.column - A::before(at.level.pad_x) + thread_column * width;
  if (channel >= channels || row >= map.height || column >= map.width) return;
  const int pitch = t.source.pitch * slab<T>;
  const T* source = shared + thread_row * A::step(HEIGHT) * pitch + thread_column * (STEP + 1) * slab<T> +
                    2 * int(threadIdx.x);
  T* result = to + map.pixel(at.image, row, column) * channels + channel;
  const int rows = map.height - row, columns = map.width - column, line = map.width * channels;
  float sum[HEIGHT][width][2] = {};
  UNROLL for (int i = 0; i < A::span(HEIGHT); ++i, source += pitch) {
    UNROLL for (int j = 0; j < A::span(width); ++j) {
      float number[2];
      load_pair(number, source + (j + j / STEP) * slab<T>);
      UNROLL for (int a = 0; a < K; ++a) {
        UNROLL for (int b = 0; b < K; ++b) {
          const int r = A::output(i, a), p = A::output(j, b);
          if (r < 0 || r >= HEIGHT || p < 0 || p >= width) continue;
          sum[r][p][0] += filter[a * K + b][0] * number[0];
          sum[r][p][1] += filter[a * K + b][1] * number[1];
        }
      }
    }
    UNROLL for (int r = 0; r < HEIGHT; ++r) {
      if (A::last(r) != i) continue;
      const bool above = A::before(1) && r == 0 && row < 0;
      UNROLL for (int p = 0; p < width; ++p) {
        const bool left = A::before(1) && p == 0 && column < 0;
        if (r < rows && p < columns && !above && !left) store_rounded<2>(result + p * channels, sum[r][p]);
      }
      result += line;
    }
  }
}

// Threads that a multiprocessor is to hold: more leave too few registers.
template <int K, int S>
inline constexpr int threads_held = K == 5   ? 512
                                    : S == 2 ? 768
                                             : 1024;

template <int K, int S, int HEIGHT, class T>
__global__ void __launch_bounds__(tile_threads<T>, threads_held<K, S> / tile_threads<T>)
    depthwise_tiled(const T* x, const float* w, T* y, Tiling t) {
  correlate<K, S, false, HEIGHT>(x, w, y, t);
}
template <int K, int S, int HEIGHT, class T>
__global__ void __launch_bounds__(tile_threads<T>, threads_held<K, S> / tile_threads<T>)
    input_gradient_tiled(const T* dy, const float* w, T* dx, Tiling t) {
  correlate<K, S, true, HEIGHT>(dy, w, dx, t);
}

// The more rows a thread has, the fewer are read twice; where that makes too few threads, they have 2.
template <int K, int S, bool GRADIENT, int HEIGHT, class T>
void launch_tiles(const T* from, const float* w, T* to, const DepthwiseConv2dDims& d) {
  const Tiling t = Tiling::of<Axis<K, S, GRADIENT>, T>(d, HEIGHT);
  const int threads = t.rows * t.columns * slab<T> / 2;
  if constexpr (HEIGHT > 2)
    if (t.count() * t.slabs * threads < 1 << 15) return launch_tiles<K, S, GRADIENT, 2>(from, w, to, d);
  const int copies = t.source.rows * t.source.columns * slab<T> / pack_size<T>;
  const LaunchConfig config =
      t.template config<T>(t.count(), t.source.pixels(), (copies + threads - 1) / threads);
  if constexpr (GRADIENT)
    launch(input_gradient_tiled<K, S, HEIGHT, T>, config, from, w, to, t);
  else
    launch(depthwise_tiled<K, S, HEIGHT, T>, config, from, w, to, t);
}

}  // namespace

template <class T>
void depthwise_conv2d(const T* x, const Accumulator<T>* w, T* y, const DepthwiseConv2dDims& d) {
  if (tiled<T>(d, [&]<int K, int S>() { launch_tiles<K, S, false, S == 1 ? 8 : 4>(x, w, y, d); })) return;
  const int64_t n = d.batch * d.level[0].out.image * d.channels;
  launch(depthwise_naive<T>, {grid_for(n), block_threads}, x, w, y, d, n);
}

template <class T>
void depthwise_conv2d_input_gradient(const Accumulator<T>* w, const T* dy, T* dx,
                                     const DepthwiseConv2dDims& d) {
  if (tiled<T>(d, [&]<int K, int S>() { launch_tiles<K, S, true, 8>(dy, w, dx, d); })) return;
  const int64_t n = d.batch * d.level[0].in.image * d.channels;
  launch(input_gradient_naive<T>, {grid_for(n), block_threads}, w, dy, dx, d, n);
}

#define INSTANTIATE(T)                                                                                \
  template void depthwise_conv2d<T>(const T*, const Accumulator<T>*, T*, const DepthwiseConv2dDims&); \
  template void depthwise_conv2d_input_gradient<T>(const Accumulator<T>*, const T*, T*,               \
                                                   const DepthwiseConv2dDims&);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(bfloat16)

}  // namespace fovea::cuda
