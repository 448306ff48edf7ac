#pragma once
#include <algorithm>
#include <type_traits>

#include "cuda/device/pixel.h"
#include "cuda/device/sm_80.h"
#include "cuda/device/unroll.h"
#include "cuda/device/vector.h"
#include "cuda/kernels/depthwise_conv2d.h"
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

inline constexpr int width = 4;              // columns of the result that a thread has
inline constexpr int max_lines = 8;          // threads of a block with the same channels
inline constexpr int multiprocessors = 132;  // on which the numbers of blocks are based
template <class T>
inline constexpr int slab = 64 / int(sizeof(T));  // channels of a block
template <class T>
inline constexpr int tile_threads = slab<T> / 2 * max_lines;

// Pixels in shared memory. After every `step` columns, the distance between neighbouring threads, there is a
// gap of one pixel: without it both threads would access the same banks.
struct SharedTile {
  int rows, columns, pitch;
  unsigned reciprocal;  // 2^20 / columns, rounded up

  // rows_ x columns_ pixels; neighbouring threads begin `step` columns apart.
  SharedTile(int rows_, int columns_, int step)
      : rows(rows_),
        columns(columns_),
        pitch(columns_ + (columns_ - 1) / step),
        reciprocal(((1u << 20) + unsigned(columns_) - 1) / unsigned(columns_)) {}
  HD int pixels() const { return rows * pitch; }
  // i / columns, exact for i * columns < 2^20.
  __device__ int row_of(int i) const { return int(unsigned(i) * reciprocal >> 20); }
};

// The tiles of all images: a block has one or several of them, and a slab of channels.
struct Tiling {
  DepthwiseConv2dDims d;
  // An image's tiles: before each level, side by side in it, and in all; and slabs of channels.
  int first[PyramidShape::max_levels] = {}, across[PyramidShape::max_levels] = {}, tiles = 0, slabs = 0;
  // A block's threads with the same channels, vertically and horizontally; and the rows of a thread's result.
  int rows = 1, columns = 1, height = 0;
  SharedTile source{1, 1, 1};

  // Tiles whose threads each compute `height` rows.
  template <class A, class T>
  static Tiling of(const DepthwiseConv2dDims& d, int height) {
    Tiling t{d};
    t.slabs = (d.channels + slab<T> - 1) / slab<T>;
    t.height = height;
    const auto threads = [](int pixels, int pad, int each) {
      return (pixels + A::before(pad) + each - 1) / each;
    };
    int down[PyramidShape::max_levels], most_across = 1;
    for (int l = 0; l < d.levels; ++l) {
      down[l] = threads((d.level[l].*A::to).height, d.level[l].pad_y, height);
      t.across[l] = threads((d.level[l].*A::to).width, d.level[l].pad_x, width);
      t.rows = std::max(t.rows, down[l]);
      most_across = std::max(most_across, t.across[l]);
    }
    const int blocks = (most_across + max_lines - 1) / max_lines;
    t.columns = (most_across + blocks - 1) / blocks;
    t.rows = std::min(t.rows, max_lines / t.columns);
    for (int l = 0; l < d.levels; ++l) {
      t.first[l] = t.tiles;
      t.across[l] = (t.across[l] + t.columns - 1) / t.columns;
      t.tiles += t.across[l] * ((down[l] + t.rows - 1) / t.rows);
    }
    t.source = {A::span(t.rows * height), A::span(t.columns * width), A::step(width)};
    return t;
  }
  int64_t count() const { return d.batch * tiles; }
  // The blocks of each slab if they loop over tiles: as many as the GPU holds, each with the same number of
  // tiles or one fewer.
  int64_t chunks(int blocks_held) const {
    const int64_t most = std::max(1, multiprocessors * blocks_held / std::max(1, slabs)),
                  each = std::max<int64_t>(1, (count() + most - 1) / most);
    return std::max<int64_t>(1, (count() + each - 1) / each);
  }
  // The launch with this many blocks per slab; `steps` counts the iterations of a thread's loop over tiles
  // or, without such a loop, its copies.
  template <class T>
  LaunchConfig config(int64_t blocks, int64_t shared_pixels, int64_t steps) const {
    LaunchConfig result({unsigned(blocks * slabs)}, {unsigned(slab<T> / 2), unsigned(rows * columns)},
                        size_t(shared_pixels) * slab<T> * sizeof(T));
    result.steps = steps;
    return result;
  }
};

// Where a tile is: its first output, counted from the first tile of its level.
struct TilePlace {
  DepthwiseLevel level;
  int64_t image;
  int row, column;

  // `tile` counts the tiles of all images.
  __device__ TilePlace(unsigned tile, const Tiling& t) {
    image = tile / unsigned(t.tiles);
    tile %= unsigned(t.tiles);
    int l = 0;
    while (l + 1 < t.d.levels && int(tile) >= t.first[l + 1]) ++l;
    level = t.d.level[l];
    const unsigned in_level = tile - unsigned(t.first[l]), across = unsigned(t.across[l]);
    row = int(in_level / across) * t.rows * t.height;
    column = int(in_level % across) * t.columns * width;
  }
};

// Copies the pixels of a map from (top, left) on to shared memory, for a slab's channels from `first` on. All
// threads of the block take part.
template <int STEP, class T>
__device__ inline void fetch(T* to, const SharedTile& tile, const T* from, const FeatureMap& map,
                             int64_t image, int top, int left, int first, int channels) {
  constexpr int packs = slab<T> / pack_size<T>, abreast = slab<T> / 2 / packs;
  const int channel = int(threadIdx.x) % packs * pack_size<T>, count = tile.rows * tile.columns;
  const bool has_channel = first + channel < channels;
  from += map.pixel(image, 0) * channels + first + channel;
  NO_UNROLL for (int i = int(threadIdx.y) * abreast + int(threadIdx.x) / packs; i < count;
                 i += int(blockDim.y) * abreast) {
    const int row = tile.row_of(i), column = i - row * tile.columns;
    const bool wanted = has_channel && inside(top + row, map.height) && inside(left + column, map.width);
    const int at = wanted ? ((top + row) * map.width + left + column) * channels : 0;
    copy_async(to + (row * tile.pitch + column + column / STEP) * slab<T> + channel, from + at, wanted);
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

}  // namespace fovea::cuda
