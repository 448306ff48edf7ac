#pragma once
#include <algorithm>
#include <type_traits>
#include <utility>

#include "cuda/device/pixel.h"
#include "cuda/device/sm_80.h"
#include "cuda/device/unroll.h"
#include "cuda/device/vector.h"
#include "cuda/kernels/depthwise_conv2d.h"
#include "cuda/runtime/device.h"
#include "cuda/runtime/launch.h"

namespace fovea::cuda {

// Shared by the tiled kernels of a depthwise convolution. A block copies the pixels under a tile of the
// result to shared memory, 64 bytes of channels per pixel, with zeros outside the map, so that the sums need
// not test for the border. A thread has two neighbouring channels, 4 columns of the result and some rows.

// Along one axis: which source pixels the K taps of a thread's outputs multiply. For the input gradient the
// outputs are dx and the source is dy. dx at i takes w[a] dy[o] with o S + a - p = i. Write i + p = S q + e
// with e < S: then a = e + S t and o = q - t, for t from 0 on. So S neighbouring outputs have the same source
// pixels, and each of them uses the taps that are e modulo S.
template <int K, int S, bool GRADIENT>
struct Axis {
  static constexpr int turns = (K + S - 1) / S;  // values of t
  static constexpr auto from = GRADIENT ? &DepthwiseLevel::out : &DepthwiseLevel::in;
  static constexpr auto to = GRADIENT ? &DepthwiseLevel::in : &DepthwiseLevel::out;

  // Source pixels from the first pixel of `count` outputs to the first pixel of the next outputs.
  HD static constexpr int step(int count) { return GRADIENT ? count / S : count * S; }
  // Source pixels under `count` outputs.
  HD static constexpr int span(int count) { return GRADIENT ? count / S + turns - 1 : (count - 1) * S + K; }
  // The output that multiplies the source pixel with `tap`, both counted from the first; below 0 if there is
  // none.
  HD static constexpr int output(int source, int tap) {
    if (GRADIENT) return (source - turns + 1 + tap / S) * S + tap % S;
    return source >= tap && (source - tap) % S == 0 ? (source - tap) / S : -1;
  }
  // The last source pixel that `output` uses.
  HD static constexpr int last(int output) { return GRADIENT ? output / S + turns - 1 : output * S + K - 1; }
  // Outputs before the map's first: its group of S may begin outside of the map.
  HD static constexpr int before(int pad) { return GRADIENT ? pad % S : 0; }
  // The source pixel under the first output.
  HD static constexpr int begin(int pad) { return GRADIENT ? pad / S - (turns - 1) : -pad; }
};

// What a tiled kernel does with its output (output_epilogue.h).
struct Plain {};
struct Normalized {};
struct Gathered {};

inline constexpr int width = 4;              // columns of the result that a thread has
inline constexpr int max_lines = 8;          // threads of a block with the same channels
inline constexpr int multiprocessors = 132;  // on which the numbers of blocks are based
inline constexpr int slab_bytes = 64;        // the bytes of each pixel that a block handles
template <class T>
inline constexpr int slab = slab_bytes / int(sizeof(T));  // channels of a block
template <class T>
inline constexpr int tile_threads = slab<T> / 2 * max_lines;

// Pixels in shared memory. After every `step` columns, the distance between neighbouring threads, there is a
// gap of one pixel: without it both threads would access the same banks.
struct SharedTile {
  int rows, columns, pitch;
  Divisor by_columns;

  // rows_ x columns_ pixels; neighbouring threads begin `step` columns apart.
  SharedTile(int rows_, int columns_, int step)
      : rows(rows_), columns(columns_), pitch(columns_ + (columns_ - 1) / step), by_columns(columns_) {}
  HD int pixels() const { return rows * pitch; }
};

// The tiles of all images: a block has some of them, and a slab of channels.
struct Tiling {
  DepthwiseConv2dDims d;
  // An image's tiles before each level, and in all; slabs of channels; divisors by the tiles that are side by
  // side in a level, by `tiles`, `slabs` and `columns`.
  int first[PyramidShape::max_levels] = {}, tiles = 0, slabs = 0;
  Divisor by_across[PyramidShape::max_levels] = {}, by_tiles = {}, by_slabs = {}, by_columns = {};
  // A block's threads with the same channels, vertically and horizontally; and the rows of a thread's result.
  int rows = 1, columns = 1, height = 0;
  SharedTile source{1, 1, 1};

  // Tiles of rows x columns threads, each of which computes `height` rows.
  template <class A, class T>
  static Tiling of(const DepthwiseConv2dDims& d, int height, int rows, int columns) {
    Tiling t{d};
    t.slabs = (d.channels + slab<T> - 1) / slab<T>;
    t.height = height;
    t.rows = rows;
    t.columns = columns;
    for (int l = 0; l < d.levels; ++l) {
      const auto [down, across] = threads<A>(d.level[l], height);
      const int side_by_side = (across + columns - 1) / columns;
      t.first[l] = t.tiles;
      t.by_across[l] = Divisor(side_by_side);
      t.tiles += side_by_side * ((down + rows - 1) / rows);
    }
    t.by_tiles = Divisor(t.tiles);
    t.by_slabs = Divisor(t.slabs);
    t.by_columns = Divisor(columns);
    t.source = {A::span(rows * height), A::span(columns * width), A::step(width)};
    return t;
  }
  // Tiles of at most `max_lines` threads that suit the largest level.
  template <class A, class T>
  static Tiling of(const DepthwiseConv2dDims& d, int height) {
    int most_down = 1, most_across = 1;
    for (int l = 0; l < d.levels; ++l) {
      const auto [down, across] = threads<A>(d.level[l], height);
      most_down = std::max(most_down, down);
      most_across = std::max(most_across, across);
    }
    const int blocks = (most_across + max_lines - 1) / max_lines;
    const int columns = (most_across + blocks - 1) / blocks;
    return of<A, T>(d, height, std::min(most_down, max_lines / columns), columns);
  }
  // The threads for a level's result, vertically and horizontally.
  template <class A>
  static std::pair<int, int> threads(const DepthwiseLevel& level, int height) {
    const FeatureMap& map = level.*A::to;
    return {(map.height + A::before(level.pad_y) + height - 1) / height,
            (map.width + A::before(level.pad_x) + width - 1) / width};
  }
  int64_t count() const { return d.batch * tiles; }
  // The blocks of each slab: as many as the GPU holds, each with the same number of tiles or one fewer.
  int64_t chunks(int blocks_held) const {
    const int64_t most = std::max(1, multiprocessors * blocks_held / std::max(1, slabs)),
                  each = std::max<int64_t>(1, (count() + most - 1) / most);
    return std::max<int64_t>(1, (count() + each - 1) / each);
  }
  // The launch with this many blocks per slab.
  template <class T>
  LaunchConfig config(int64_t chunks, int64_t shared_pixels) const {
    LaunchConfig result({unsigned(chunks * slabs)}, {unsigned(slab<T> / 2), unsigned(rows * columns)},
                        size_t(shared_pixels) * slab_bytes);
    result.steps = (count() + chunks - 1) / chunks;
    return result;
  }
};

// Calls f.operator()<HEIGHT>() with the tiles. The more rows a thread has, the less it loads for each. If
// TALL of them leave half of a block's threads or much of the GPU without work, a thread has LOW.
template <class A, class T, int TALL, int LOW, class F>
void with_tiling(const DepthwiseConv2dDims& d, F&& f) {
  const Tiling t = Tiling::of<A, T>(d, TALL);
  const int lines = t.rows * t.columns;
  if (lines > max_lines / 2 && t.count() * t.slabs * lines * slab<T> / 2 >= 1 << 15)
    return f.template operator()<TALL>(t);
  f.template operator()<LOW>(Tiling::of<A, T>(d, LOW));
}

// Where a tile is: its first output, counted from the first tile of its level.
struct TilePlace {
  DepthwiseLevel level;
  int64_t image;
  int row, column;

  // `tile` counts the tiles of all images.
  __device__ TilePlace(unsigned tile, const Tiling& t) {
    image = t.by_tiles.quotient(tile);
    tile = t.by_tiles.remainder(tile);
    int l = 0;
    while (l + 1 < t.d.levels && int(tile) >= t.first[l + 1]) {
      EXPECT_TRIPS(1);
      ++l;
    }
    level = t.d.level[l];
    const unsigned in_level = tile - unsigned(t.first[l]);
    row = int(t.by_across[l].quotient(in_level)) * t.rows * t.height;
    column = int(t.by_across[l].remainder(in_level)) * t.columns * width;
  }
};

// Copies the pixels of a map from (top, left) on to shared memory, for a slab's channels from `first` on. All
// threads of the block take part: each walks down the rows of a column, so that a copy takes few
// instructions, and of another if the block has too few threads for all. ROWS: about as many as a thread
// copies.
template <int STEP, int ROWS, class T>
__device__ inline void fetch(T* to, const SharedTile& tile, const T* from, const FeatureMap& map,
                             int64_t image, int top, int left, int first, int channels) {
  constexpr int packs = slab<T> / pack_size<T>, abreast = slab<T> / 2 / packs;
  const int lanes = int(blockDim.y) * abreast, lane = int(threadIdx.y) * abreast + int(threadIdx.x) / packs,
            channel = int(threadIdx.x) % packs * pack_size<T>;
  const int first_row = int(tile.by_columns.quotient(unsigned(lane))),
            down = tile.columns < lanes ? int(tile.by_columns.quotient(unsigned(lanes))) : 1;
  if (first_row >= down) return;
  from += map.pixel(image, 0) * channels + first + channel;
  NO_UNROLL for (int column = lane - first_row * tile.columns; column < tile.columns; column += lanes) {
    EXPECT_TRIPS(1);
    const bool wanted = first + channel < channels && inside(left + column, map.width);
    const T* source = from + ((top + first_row) * map.width + left + column) * channels;
    T* target = to + (first_row * tile.pitch + column + int(unsigned(column) / STEP)) * slab<T> + channel;
    UNROLL_BY_4 for (int row = first_row; row < tile.rows; row += down) {
      EXPECT_TRIPS(ROWS);
      copy_async(target, source, wanted && inside(top + row, map.height));
      source += down * map.width * channels;
      target += down * tile.pitch * slab<T>;
    }
  }
}

// Loads two neighbouring numbers in one access.
__device__ inline void load_pair(float (&to)[2], const float* from) {
  const Pack<float, 2> pair = load_pack<2>(from);
  to[0] = pair.value[0];
  to[1] = pair.value[1];
}
__device__ inline void load_pair(float (&to)[2], const bfloat16* from) {
  uint32_t word;
  memcpy(&word, __builtin_assume_aligned(from, 4), sizeof word);
  unrounded_pair(to, word);
}

// Rounds two neighbouring numbers as T stores them, and stores them in one access if `wanted`.
__device__ inline void store_pair(float* to, const float (&pair)[2], bool wanted) {
  if (wanted) store_pack(to, Pack<float, 2>{pair[0], pair[1]});
}
__device__ inline void store_pair(bfloat16* to, float (&pair)[2], bool wanted) {
  const uint32_t word = rounded_pair(pair[0], pair[1]);
  if (wanted) *reinterpret_cast<uint32_t*>(to) = word;
  unrounded_pair(pair, word);
}

// Calls f.operator()<K, S>() if there are tiled kernels: not for double, only for channels in whole packs.
template <class T, class F>
bool tiled(const DepthwiseConv2dDims& d, F&& f) {
  if constexpr (!std::is_same_v<T, double>) {
    if (!packs_fit<T>(d.channels)) return false;
    if (d.kernel == 3 && d.stride == 1) return f.template operator()<3, 1>(), true;
    if (d.kernel == 3 && d.stride == 2) return f.template operator()<3, 2>(), true;
    if (d.kernel == 5 && d.stride == 1) return f.template operator()<5, 1>(), true;
    if (d.kernel == 5 && d.stride == 2) return f.template operator()<5, 2>(), true;
  }
  return false;
}

// What the kernels on tensor cores share (depthwise_tensor_cores.cu). A block has a slab of 32 channels and
// tiles of 16 x 16 pixels of the result; each of its four warps has eight of the channels, and the whole
// tile.
namespace tensor_cores {

using Numbers = Pack<bfloat16, 8>;
inline constexpr int pack = 8, packs = slab<bfloat16> / pack;
inline constexpr int warp_size = 32, threads_across = slab<bfloat16> / 2, threads_down = 8,
                     threads = threads_across * threads_down;
static_assert(threads == packs * warp_size);
inline constexpr int tile = 16;
// From a pixel in shared memory to the next: an odd number of packs, so that eight of them have different
// banks, and no gaps between columns.
inline constexpr int pixel = slab<bfloat16> + pack;
// Rows and columns of the source under a tile.
template <int K>
inline constexpr int source_tile = tile + K - 1;

// fetch() for ROWS x COLUMNS pixels, at most 32 columns and a power of two, whose rows are PITCH pixels
// apart.
template <int ROWS, int COLUMNS, int PITCH>
__device__ inline void fetch_fixed(bfloat16* to, const bfloat16* from, const FeatureMap& map, int64_t image,
                                   int top, int left, int first, int channels) {
  constexpr int lanes = threads / packs, down = lanes / COLUMNS;
  static_assert(lanes % COLUMNS == 0);
  const int thread = int(threadIdx.y) * threads_across + int(threadIdx.x), lane = thread / packs,
            row = lane / COLUMNS, column = lane % COLUMNS, channel = thread % packs * pack;
  const bool wanted = first + channel < channels && inside(left + column, map.width);
  from += map.pixel(image, top + row, left + column) * channels + first + channel;
  to += (row * PITCH + column) * pixel + channel;
  UNROLL for (int i = 0; i < ROWS; i += down) {
    if (i + down > ROWS && row + i >= ROWS) break;
    copy_async(to + i * PITCH * pixel, from + i * map.width * channels,
               wanted && inside(top + row + i, map.height));
  }
}

// The source of a tile: first the columns of the tile, then those to the right of it.
template <int K>
__device__ inline void fetch_source(bfloat16* to, const bfloat16* from, const FeatureMap& map, int64_t image,
                                    int top, int left, int first, int channels) {
  constexpr int rows = source_tile<K>;
  fetch_fixed<rows, tile, rows>(to, from, map, image, top, left, first, channels);
  fetch_fixed<rows, K - 1, rows>(to + tile * pixel, from, map, image, top, left + tile, first, channels);
}

// Calls f.operator()<K>() with the tiles, unless too few of their pixels are needed or much of the GPU would
// have no work. Returns whether it has called it.
template <bool GRADIENT, class F>
bool with_tiles(const DepthwiseConv2dDims& d, F&& f) {
  if (!packs_fit<bfloat16>(d.channels) || d.stride != 1 || device_properties().major < 8) return false;
  const auto run = [&]<int K>() {
    using A = Axis<K, 1, GRADIENT>;
    constexpr int height = 8;
    const Tiling t = Tiling::of<A, bfloat16>(d, height, tile / height, tile / width);
    if (2 * (d.level[0].*A::to).image < t.tiles * tile * tile || t.count() * t.slabs * threads < 1 << 15)
      return false;
    f.template operator()<K>(t);
    return true;
  };
  return d.kernel == 3 ? run.template operator()<3>() : d.kernel == 5 && run.template operator()<5>();
}

// The launch with this many blocks per slab, and this many pixels in shared memory.
inline LaunchConfig config_of(const Tiling& t, int64_t chunks, int pixels) {
  LaunchConfig config({unsigned(chunks * t.slabs)}, {unsigned(threads_across), unsigned(threads_down)},
                      size_t(pixels) * pixel * sizeof(bfloat16));
  config.steps = (t.count() + chunks - 1) / chunks;
  return config;
}

}  // namespace tensor_cores

}  // namespace fovea::cuda
