// The gradients of a 1x1 convolution that widens few channels to many, where a batch norm follows: the first
// convolution of an inverted bottleneck (arXiv 1801.04381). The gradient dz of the wide matrix is computed
// where it is used and never written: two passes over wide matrices, dy and z, instead of the five of an
// elementwise kernel and two products, which write dz and read it twice.
//
// A block walks down its tiles of rows, in two stages of shared memory: while it works on one, the next is
// being copied. All threads first turn dy into dz, in place. Then the warps multiply on tensor cores: each
// adds x^T dz for its 16 output channels, in registers until the end, and computes dz w^T for 16 rows and 16
// input channels at a time, which goes to memory in packs while the next tile is worked on. A second
// launch adds the blocks' sums of dw in the order of the blocks.
#include "cuda/kernels/conv1x1_batch_norm.h"

#include <algorithm>

#include "cuda/device/sm_80.h"
#include "cuda/kernels/norm_channels.h"
#include "cuda/kernels/reduction.h"
#include "cuda/runtime/device.h"
#include "cuda/runtime/error.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"

namespace fovea::cuda {
namespace {

using Numbers = Pack<bfloat16, 8>;
inline constexpr int pack = 8, group = 16, stages = 2;
inline constexpr int most_out = 256, most_parts = 4;

// The layout of shared memory, in packs. Rows with an odd number of packs begin in different banks.
struct SharedLayout {
  int wide, narrow;     // packs from a row to the next: of dy, z and w; of x and dx
  int z, x, dx, stage;  // in a stage, where dy is at 0; a stage
  int w, end;
  HD SharedLayout(int rows, int in, int out)
      : wide(out / pack | 1),
        narrow(in / pack | 1),
        z(rows * wide),
        x(2 * rows * wide),
        dx(x + rows * narrow),
        stage(dx + rows * narrow),
        w(stages * stage),
        end(w + (in + group - 1) / group * group * wide) {}
};

// Calls use(row) for every `step`-th of the rows, of which there are usually Trips.
template <int Trips, class F>
__device__ inline void every(int first, int step, int rows, F&& use) {
  NO_UNROLL for (int row = first; row < rows; row += step) {
    EXPECT_TRIPS(Trips);
    use(row);
  }
}

// Computes dz for a row's 8 channels. Constant and slope are stored negated, so that each is a multiply-add.
struct OutputGradient {
  Pack<float, pack> scale, shift, minus_constant, minus_slope;

  // Replaces dy, a pack in shared memory, and reads z in another.
  template <class F>
  __device__ void apply(Numbers* dy, const Numbers* z) const {
    const uint4 of_dy = *reinterpret_cast<const uint4*>(dy), of_z = *reinterpret_cast<const uint4*>(z);
    *reinterpret_cast<uint4*>(dy) = {pair<F>(of_dy.x, of_z.x, 0), pair<F>(of_dy.y, of_z.y, 2),
                                     pair<F>(of_dy.z, of_z.z, 4), pair<F>(of_dy.w, of_z.w, 6)};
  }

 private:
  template <class F>
  __device__ uint32_t pair(uint32_t of_dy, uint32_t of_z, int first) const {
    float dy[2], z[2], dz[2];
    unrounded_pair(dy, of_dy);
    unrounded_pair(z, of_z);
    UNROLL for (int i = 0; i < 2; ++i) {
      const int k = first + i;
      const float g = gradient_of_z<F, bfloat16>(z[i], dy[i], scale.value[k], shift.value[k]);
      dz[i] = z[i] * minus_slope.value[k] + (scale.value[k] * g + minus_constant.value[k]);
    }
    return rounded_pair(dz[0], dz[1]);
  }
};

__device__ inline Pack<float, pack> negated(Pack<float, pack> numbers) {
  UNROLL for (float& number : numbers.value) { number = -number; }
  return numbers;
}

// The sizes that usually have so many parts, those of EfficientNet-B0 and of D0's BiFPN: for EXPECT_TRIPS.
template <int PARTS>
struct UsualSizes {
  static constexpr int out = PARTS == 1 ? 96 : PARTS == 2 ? 144 : PARTS == 3 ? 240 : 64;
  static constexpr int rows = PARTS == 3 ? 32 : 64, groups = rows / group;
  static constexpr int narrow = (rows * 2 * PARTS + 2 * out - 1) / (2 * out);  // rows a thread copies
  static constexpr int units = (groups * PARTS * group + out - 1) / out;       // units a warp computes
};

// The sizes as the kernel uses them, in 32 bits, and where the segments of an image begin.
struct Sizes {
  static constexpr int most = BatchNormDims::max_segments;
  int rows, in, out, pixels;
  int first_tile[most], first_pixel[most + 1];

  Sizes(const BatchNormDims& d, int in_, int tile_rows)
      : rows(int(d.images * d.pixels)), in(in_), out(int(d.channels)), pixels(int(d.pixels)) {
    int tile = 0, pixel = 0;
    for (int i = 0; i < most; ++i) {
      first_tile[i] = i < d.segments ? tile : 1 << 30;
      first_pixel[i] = pixel;
      tile += int((d.size[i] + tile_rows - 1) / tile_rows);
      pixel += int(d.size[i]);
    }
    first_pixel[most] = pixel;
  }
};

// Where a tile is: its first row, how many it has, and their segment.
struct TilePlace {
  int first, rows, segment;

  template <bool SEGMENTED>
  __device__ static TilePlace of(int tile, const Conv1x1GradientTiles& tiles, const Sizes& sizes) {
    int begin = 0, end = sizes.rows, segment = 0, image = 0;
    if constexpr (SEGMENTED) {
      image = tile / tiles.of_image;
      const int of_image = tile - image * tiles.of_image;
      tile = of_image;
      end = sizes.first_pixel[1];
      UNROLL for (int i = 1; i < Sizes::most; ++i) {
        if (of_image < sizes.first_tile[i]) continue;
        segment = i;
        tile = of_image - sizes.first_tile[i];
        begin = sizes.first_pixel[i];
        end = sizes.first_pixel[i + 1];
      }
    }
    begin += tile * tiles.rows;
    return {image * sizes.pixels + begin, end - begin < tiles.rows ? end - begin : tiles.rows, segment};
  }
};

// PARTS: Conv1x1GradientTiles; ADD: Conv1x1Gradients; SEGMENTED: there are several. A block has a warp for
// each group of output channels, so that there are 16 threads for each pack of them. The bound of 576
// threads, more than there are, keeps registers at 96, so that a multiprocessor holds 20 warps. partial
// (blocks, in, out)
template <int PARTS, bool ADD, bool SEGMENTED>
__global__ void __launch_bounds__(PARTS < 3 ? 576 : 2 * most_out)
    conv1x1_gradients_tiled(Conv1x1Gradients<bfloat16> p, Sizes sizes, Conv1x1GradientTiles tiles,
                            SharedLayout at, float* partial) {
  using Usual = UsualSizes<PARTS>;
  Numbers* const shared = dynamic_shared<Numbers>();
  const Numbers* const w = shared + at.w;
  const int thread = int(threadIdx.x), threads = int(blockDim.x), lane = thread % 32, warp = thread / 32;
  const int in_packs = sizes.in / pack, out_packs = sizes.out / pack;
  // The thread's places in rows of wide and of narrow matrices: always the same pack of every lines-th row.
  const int line = thread / out_packs, number = thread % out_packs;
  const int narrow_lines = threads / in_packs, narrow_number = thread % in_packs;
  const int narrow_line = thread / in_packs < narrow_lines ? thread / in_packs : tiles.rows;

  // w, with rows of zeros up to a whole part.
  every<PARTS>(line, group, PARTS * group, [&](int row) {
    copy_async(shared[at.w + row * at.wide + number].value,
               p.w + (row < sizes.in ? (row * out_packs + number) * pack : 0), row < sizes.in);
  });
  OutputGradient gradient;
  int segment = -1;  // whose coefficients these are
  const auto take_coefficients = [&](int of) {
    if (of == segment) return;
    segment = of;
    const int at_channel = of * sizes.out + number * pack;
    gradient = {load_pack<pack>(p.norm.scale + at_channel), load_pack<pack>(p.norm.shift + at_channel),
                negated(load_pack<pack>(p.constant + at_channel)),
                negated(load_pack<pack>(p.slope + at_channel))};
  };
  if constexpr (!SEGMENTED) take_coefficients(0);

  const auto place_of = [&](int tile) { return TilePlace::of<SEGMENTED>(tile, tiles, sizes); };
  // Starts to copy dy, z and x of a tile. Rows that it lacks are zeros in x and dx; dz is 0 there.
  const auto copy_tile = [&](int tile, Numbers* to) {
    if (tile >= tiles.tiles) return;
    const TilePlace place = place_of(tile);
    const int rows = place.rows;
    const int64_t first = place.first;
    const bfloat16 *const dy = p.dy + first * sizes.out, *const z = p.z + first * sizes.out,
                          *const x = p.x + first * sizes.in;
    every<Usual::groups>(line, group, rows, [&](int row) {
      Numbers* const numbers = to + row * at.wide + number;
      copy_async(numbers->value, pack_at<pack>(dy, unsigned(row * out_packs + number)), true);
      copy_async(numbers[at.z].value, pack_at<pack>(z, unsigned(row * out_packs + number)), true);
    });
    every<Usual::narrow>(narrow_line, narrow_lines, tiles.rows, [&](int row) {
      copy_async(to[at.x + row * at.narrow + narrow_number].value,
                 row < rows ? pack_at<pack>(x, unsigned(row * in_packs + narrow_number)) : p.x, row < rows);
    });
  };
  // Starts to copy what dx is added to, and makes a group of these copies.
  const auto copy_dx = [&](int tile, Numbers* to) {
    if (ADD && tile < tiles.tiles) {
      const TilePlace place = place_of(tile);
      const bfloat16* const dx = p.dx + int64_t(place.first) * sizes.in;
      every<Usual::narrow>(narrow_line, narrow_lines, tiles.rows, [&](int row) {
        const bool wanted = row < place.rows;
        copy_async(to[at.dx + row * at.narrow + narrow_number].value,
                   wanted ? pack_at<pack>(dx, unsigned(row * in_packs + narrow_number)) : p.dx, wanted);
      });
    }
    end_copy_group();
  };
  const auto store_dx = [&](int tile, const Numbers* from) {
    const TilePlace place = place_of(tile);
    bfloat16* const dx = p.dx + int64_t(place.first) * sizes.in;
    every<Usual::narrow>(narrow_line, narrow_lines, place.rows, [&](int row) {
      store_pack(pack_at<pack>(dx, unsigned(row * in_packs + narrow_number)),
                 from[at.dx + row * at.narrow + narrow_number]);
    });
  };

  float sums[PARTS][2][4] = {};
  int tile = int(blockIdx.x), stage = 0;
  copy_tile(tile, shared);
  copy_dx(tile, shared);
  NO_UNROLL for (; tile < tiles.tiles; tile += tiles.blocks, stage ^= 1) {
    wait_for_copy_groups<0>();
    __syncthreads();
    Numbers *const dz = shared + stage * at.stage, *const other = shared + (stage ^ 1) * at.stage;
    copy_tile(tile + tiles.blocks, other);
    if (tile >= tiles.blocks) store_dx(tile - tiles.blocks, other);
    const TilePlace place = place_of(tile);
    const int rows = place.rows;
    if constexpr (SEGMENTED) take_coefficients(place.segment);
      // With one branch for the activation, which is usually swish.
#define FOVEA_CASE(name, F)                                                         \
  case Activation::name:                                                            \
    if constexpr (!std::is_same_v<F, Swish>) EXPECT_SKIPPED(int(Activation::name)); \
    every<Usual::groups>(line, group, rows, [&](int row) {                          \
      Numbers* const numbers = dz + row * at.wide + number;                         \
      gradient.apply<F>(numbers, numbers + at.z);                                   \
    });                                                                             \
    break;
    switch (p.activation) { FOVEA_ACTIVATIONS(FOVEA_CASE) }
#undef FOVEA_CASE
    if (rows < tiles.rows) {  // the last tile of a segment
      EXPECT_SKIPPED(9);
      for (int row = line; row < tiles.rows; row += group)
        if (row >= rows) *reinterpret_cast<uint4*>(dz + row * at.wide + number) = {};
    }
    __syncthreads();
    copy_dx(tile + tiles.blocks, other);  // the previous tile's has been stored

    const Numbers* const x = dz + at.x;
    every<Usual::groups>(0, group, tiles.rows, [&](int row) {
      uint32_t of_dz[4];
      load_matrices<true>(of_dz, dz + (row + lane % 16) * at.wide + warp * 2 + lane / 16);
      UNROLL for (int part = 0; part < PARTS; ++part) {
        uint32_t of_x[4];
        const int half = part * 2 + lane / 8 % 2;  // the last part may have only one half
        load_matrices<true>(
            of_x, x + (row + lane / 16 * 8 + lane % 8) * at.narrow + (half < in_packs ? half : in_packs - 1));
        multiply_add(sums[part][0], of_x, of_dz);
        multiply_add(sums[part][1], of_x, of_dz + 2);
      }
    });
    every<Usual::units>(warp, threads / 32, tiles.rows / group * PARTS, [&](int unit) {
      const int row = unit / PARTS * group, part = unit % PARTS;
      const Numbers* const a = dz + (row + lane % 16) * at.wide + lane / 16;
      const Numbers* const b = w + (part * group + lane / 16 * 8 + lane % 8) * at.wide + lane / 8 % 2;
      float values[2][4] = {};
      UNROLL_BY_4 for (int k = 0; k < out_packs; k += 2) {
        EXPECT_TRIPS(Usual::out / group);
        uint32_t of_dz[4], of_w[4];
        load_matrices<false>(of_dz, a + k);
        load_matrices<false>(of_w, b + k);
        multiply_add(values[0], of_dz, of_w);
        multiply_add(values[1], of_dz, of_w + 2);
      }
      UNROLL for (int half = 0; half < 2; ++half) {
        if (part * 2 + half >= in_packs) break;
        UNROLL for (int below = 0; below < 2; ++below) {  // row lane / 4, and eight below
          Numbers* const words = dz + at.dx + (row + lane / 4 + 8 * below) * at.narrow + part * 2 + half;
          uint32_t* const word = reinterpret_cast<uint32_t*>(words) + lane % 4;
          float old[2] = {};
          if constexpr (ADD) unrounded_pair(old, *word);
          *word = rounded_pair(values[half][2 * below] + old[0], values[half][2 * below + 1] + old[1]);
        }
      }
    });
  }
  __syncthreads();
  if (tile > int(blockIdx.x)) store_dx(tile - tiles.blocks, shared + (stage ^ 1) * at.stage);

  partial += (int64_t(blockIdx.x) * sizes.in + lane / 4) * sizes.out + warp * group + lane % 4 * 2;
  UNROLL for (int part = 0; part < PARTS; ++part) {
    UNROLL for (int half = 0; half < 2; ++half) {
      UNROLL for (int below = 0; below < 2; ++below) {
        const int row = part * group + 8 * below;
        if (row + lane / 4 < sizes.in)
          store_rounded<2>(partial + row * sizes.out + half * pack, sums[part][half] + 2 * below);
      }
    }
  }
}

}  // namespace

Conv1x1GradientTiles Conv1x1GradientTiles::of(const BatchNormDims& d, int64_t in) {
  const int64_t rows = d.images * d.pixels, out = d.channels;
  constexpr int64_t most_rows = int64_t(1) << 30;
  // A block may have this much shared memory, and a multiprocessor's blocks this much, with 1 KB lost for
  // each.
  constexpr size_t most_bytes = size_t(99) << 10, held_bytes = size_t(228) << 10,
                   lost_bytes = size_t(1) << 10;
  Conv1x1GradientTiles best;
  if (rows <= 0 || rows > most_rows || in <= 0 || in % pack != 0 || in > most_parts * group || out <= 0 ||
      out % group != 0 || out > most_out)
    return best;
  // The largest tiles with which a multiprocessor holds almost as many warps as their registers allow.
  best.parts = int(in + group - 1) / group;
  const int warps = int(out) / group, most_warps = best.parts < 3 ? 20 : 16;
  int held = 0;
  for (const int tile_rows : {64, 48, 32, 16}) {
    const size_t bytes = size_t(SharedLayout(tile_rows, int(in), int(out)).end) * sizeof(Numbers);
    if (bytes > most_bytes) continue;
    best.rows = tile_rows;
    best.shared_bytes = bytes;
    held = std::min(int(held_bytes / (bytes + lost_bytes)), most_warps / warps);
    if (held * warps >= 15) break;
  }
  if (best.rows == 0) return {};
  for (int i = 0; i < d.segments; ++i) best.of_image += int((d.size[i] + best.rows - 1) / best.rows);
  best.tiles = int(d.images) * best.of_image;
  // As many blocks as the 132 multiprocessors of an H200 hold, with the same number of tiles or one fewer.
  const int most = 132 * held, steps = (best.tiles + most - 1) / most;
  best.blocks = (best.tiles + steps - 1) / steps;
  return best;
}

// Below 64 tiles few multiprocessors would have work.
bool prefers_conv1x1_gradients(const BatchNormDims& dims, int64_t in) {
  const Conv1x1GradientTiles tiles = Conv1x1GradientTiles::of(dims, in);
  return device_properties().major >= 8 && tiles.parts > 0 && tiles.tiles >= 64 && in <= dims.channels;
}

template <class T>
void conv1x1_gradients(const Conv1x1Gradients<T>& p, float* dw) {
  const Conv1x1GradientTiles tiles = Conv1x1GradientTiles::of(p.dims, p.in);
  if (tiles.parts == 0) throw CudaError("conv1x1_batch_norm: the kernel does not support the sizes");
  const Sizes sizes(p.dims, p.in, tiles.rows);
  const SharedLayout at(tiles.rows, sizes.in, sizes.out);
  const int64_t weights = int64_t(sizes.in) * sizes.out;
  const Workspace<float> partial(tiles.blocks * weights);
  LaunchConfig config =
      LaunchConfig(dim3(unsigned(tiles.blocks)), dim3(unsigned(2 * sizes.out)), tiles.shared_bytes)
          .for_sm_80();
  config.bytes =
      int64_t(sizeof(T)) * (int64_t(sizes.rows) * (2 * sizes.out + (p.add ? 3 : 2) * sizes.in) + weights) +
      int64_t(sizeof(float)) * weights * tiles.blocks;
  config.steps = (tiles.tiles + tiles.blocks - 1) / tiles.blocks;
  const auto start = [&]<int PARTS>() {
    const bool segmented = p.dims.segments > 1;
    const auto kernel = segmented && p.add ? conv1x1_gradients_tiled<PARTS, true, true>
                        : segmented        ? conv1x1_gradients_tiled<PARTS, false, true>
                        : p.add            ? conv1x1_gradients_tiled<PARTS, true, false>
                                           : conv1x1_gradients_tiled<PARTS, false, false>;
    launch(kernel, config, p, sizes, tiles, at, partial.data());
  };
  if (tiles.parts == 1) start.template operator()<1>();
  if (tiles.parts == 2) start.template operator()<2>();
  if (tiles.parts == 3) start.template operator()<3>();
  if (tiles.parts == 4) start.template operator()<4>();
  add_partials<float>(partial.data(), dw, {1, tiles.blocks, weights});
}
template void conv1x1_gradients<bfloat16>(const Conv1x1Gradients<bfloat16>&, float*);

}  // namespace fovea::cuda
