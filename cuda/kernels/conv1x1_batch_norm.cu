// The gradients of a 1x1 convolution that widens few channels to many, where a batch norm follows: the first
// convolution of an inverted bottleneck (arXiv 1801.04381). The gradient dz of the wide matrix is computed
// where it is used and never written: two passes over wide matrices, dy and z, instead of the five of an
// elementwise kernel and two products, which write dz and read it twice.
//
// A block walks down its tiles of rows, in two stages of shared memory: while it works on one, the next is
// being copied. All threads first turn dy into dz, in place. Then the eight warps multiply on tensor cores:
// each adds x^T dz for its output channels, 16 at a time, in registers until the end, and computes dz w^T for
// 16 rows and 16 input channels at a time. The latter goes to memory in packs while the next tile is worked
// on. The blocks' sums of dw are added in their order by a second launch.
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
inline constexpr int pack = 8, warps = 8, tile_threads = 32 * warps, stages = 2;
inline constexpr size_t multiprocessor_bytes = size_t(227) << 10;  // of shared memory, for blocks

// The layout of shared memory, in packs. Rows with an odd number of packs begin in different banks.
struct SharedLayout {
  int wide, narrow;     // packs from a row to the next: of dy, z and w; of x and dx
  int z, x, dx, stage;  // in a stage, where dy is at 0; a stage
  int w, coefficients, end;
  HD SharedLayout(int rows, int in, int out)
      : wide(out / pack | 1),
        narrow(in / pack | 1),
        z(rows * wide),
        x(2 * rows * wide),
        dx(x + rows * narrow),
        stage(dx + rows * narrow),
        w(stages * stage),
        coefficients(w + (in + 15) / 16 * 16 * wide),
        end(coefficients + out) {}  // four floats of each channel
};

// A thread's place in rows of `packs` packs: always the same pack of every lines-th row.
struct Walk {
  int packs, lines, line, number;
  __device__ explicit Walk(int packs_)
      : packs(packs_),
        lines(tile_threads / packs),
        line(int(threadIdx.x) / packs),
        number(int(threadIdx.x) % packs) {}
  template <class F>
  __device__ void each(int rows, F&& use) const {
    if (line < lines)
      for (int row = line; row < rows; row += lines) use(row);
  }
};

// dz of a row's N channels, from their coefficients: four arrays of `channels` floats.
template <int N>
struct OutputGradient {
  float scale[N], shift[N], constant[N], slope[N];

  __device__ OutputGradient(const float* coefficients, int channels) {
    UNROLL for (int k = 0; k < N; ++k) {
      scale[k] = coefficients[k];
      shift[k] = coefficients[channels + k];
      constant[k] = coefficients[2 * channels + k];
      slope[k] = coefficients[3 * channels + k];
    }
  }
  // With one branch for the activation, which is usually swish.
  __device__ uint4 apply(Activation activation, const Numbers& z, const Numbers& dy) const {
    uint32_t words[N / 2] = {};
#define FOVEA_CASE(name, F)                                                         \
  case Activation::name:                                                            \
    if constexpr (!std::is_same_v<F, Swish>) EXPECT_SKIPPED(int(Activation::name)); \
    UNROLL for (int k = 0; k < N; k += 2) {                                         \
      words[k / 2] = rounded_pair(of<F>(z, dy, k), of<F>(z, dy, k + 1));            \
    }                                                                               \
    break;
    switch (activation) { FOVEA_ACTIVATIONS(FOVEA_CASE) }
#undef FOVEA_CASE
    return {words[0], words[1], words[2], words[3]};
  }

 private:
  template <class F>
  __device__ float of(const Numbers& z, const Numbers& dy, int k) const {
    return gradient_of_x<F, bfloat16>(float(z.value[k]), float(dy.value[k]), scale[k], shift[k], constant[k],
                                      slope[k]);
  }
};

// PARTS and GROUPS: Conv1x1GradientTiles. partial (blocks, in, out)
template <int PARTS, int GROUPS>
__global__ void __launch_bounds__(tile_threads, PARTS* GROUPS == 1 ? 3 : 2)
    conv1x1_gradients_tiled(Conv1x1Gradients<bfloat16> p, Conv1x1GradientTiles tiles, float* partial) {
  const SharedLayout at(tiles.rows, p.in, p.out);
  Numbers* const shared = dynamic_shared<Numbers>();
  const Numbers* const w = shared + at.w;
  const int thread = int(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int in_packs = p.in / pack, out_packs = p.out / pack;

  // w, with rows of zeros up to a whole part.
  for (int i = thread; i < PARTS * 16 * out_packs; i += tile_threads) {
    const int row = i / out_packs, number = i % out_packs;
    copy_async(shared[at.w + row * at.wide + number].value, p.w + (row < p.in ? i * pack : 0), row < p.in);
  }
  float* const coefficients = reinterpret_cast<float*>(shared + at.coefficients);
  for (int i = thread; i < p.out; i += tile_threads) {
    coefficients[i] = p.norm.scale[i];
    coefficients[p.out + i] = p.norm.shift[i];
    coefficients[2 * p.out + i] = p.constant[i];
    coefficients[3 * p.out + i] = p.slope[i];
  }

  const Walk wide(out_packs), narrow(in_packs);
  // Starts to copy a tile's rows of a matrix, or what there is of them.
  const auto copy_rows = [&](Numbers* to, int step, const bfloat16* from, int tile, const Walk& walk) {
    walk.each(tiles.rows, [&](int row) {
      const int64_t of_matrix = int64_t(tile) * tiles.rows + row;
      const bool wanted = of_matrix < p.rows;
      copy_async(to[row * step + walk.number].value,
                 from + (wanted ? (of_matrix * walk.packs + walk.number) * pack : 0), wanted);
    });
  };
  const auto copy_tile = [&](int tile, Numbers* to) {
    if (tile >= tiles.tiles) return;
    copy_rows(to, at.wide, p.dy, tile, wide);
    copy_rows(to + at.z, at.wide, p.z, tile, wide);
    copy_rows(to + at.x, at.narrow, p.x, tile, narrow);
  };
  const auto copy_dx = [&](int tile, Numbers* to) {
    if (p.add && tile < tiles.tiles) copy_rows(to + at.dx, at.narrow, p.dx, tile, narrow);
    end_copy_group();
  };
  const auto store_dx = [&](int tile, const Numbers* from) {
    narrow.each(tiles.rows, [&](int row) {
      const int64_t of_matrix = int64_t(tile) * tiles.rows + row;
      if (of_matrix < p.rows)
        store_pack(p.dx + (of_matrix * in_packs + narrow.number) * pack,
                   from[at.dx + row * at.narrow + narrow.number]);
    });
  };

  float sums[GROUPS][PARTS][2][4] = {};
  int tile = int(blockIdx.x), stage = 0;
  copy_tile(tile, shared);
  copy_dx(tile, shared);
  NO_UNROLL for (; tile < tiles.tiles; tile += tiles.blocks, stage ^= 1) {
    wait_for_copy_groups<0>();
    __syncthreads();
    Numbers *const dz = shared + stage * at.stage, *const other = shared + (stage ^ 1) * at.stage;
    copy_tile(tile + tiles.blocks, other);
    if (tile >= tiles.blocks) store_dx(tile - tiles.blocks, other);
    const OutputGradient<pack> of(coefficients + wide.number * pack, p.out);
    wide.each(tiles.rows, [&](int row) {
      Numbers* const place = dz + row * at.wide + wide.number;
      const Numbers dy = *place, z = place[at.z];
      uint4 words = {};
      if (int64_t(tile) * tiles.rows + row < p.rows) words = of.apply(p.activation, z, dy);
      *reinterpret_cast<uint4*>(place) = words;
    });
    __syncthreads();
    copy_dx(tile + tiles.blocks, other);  // the previous tile's has been stored

    const Numbers* const x = dz + at.x;
    for (int row = 0; row < tiles.rows; row += 16) {
      uint32_t of_x[PARTS][4];
      UNROLL for (int part = 0; part < PARTS; ++part) {
        const int number = part * 2 + lane / 8 % 2;  // of the last part, the second half may be none
        load_matrices<true>(of_x[part], x + (row + lane / 16 * 8 + lane % 8) * at.narrow +
                                            (number < in_packs ? number : in_packs - 1));
      }
      UNROLL for (int i = 0; i < GROUPS; ++i) {
        const int group = warp + i * warps;
        if (group * 16 >= p.out) break;
        uint32_t of_dz[4];
        load_matrices<true>(of_dz, dz + (row + lane % 16) * at.wide + group * 2 + lane / 16);
        UNROLL for (int part = 0; part < PARTS; ++part) {
          multiply_add(sums[i][part][0], of_x[part], of_dz);
          multiply_add(sums[i][part][1], of_x[part], of_dz + 2);
        }
      }
    }
    for (int unit = warp; unit < tiles.rows / 16 * PARTS; unit += warps) {
      const int row = unit / PARTS * 16, part = unit % PARTS;
      float values[2][4] = {};
      for (int k = 0; k < out_packs; k += 2) {
        uint32_t of_dz[4], of_w[4];
        load_matrices<false>(of_dz, dz + (row + lane % 16) * at.wide + k + lane / 16);
        load_matrices<false>(of_w, w + (part * 16 + lane / 16 * 8 + lane % 8) * at.wide + k + lane / 8 % 2);
        multiply_add(values[0], of_dz, of_w);
        multiply_add(values[1], of_dz, of_w + 2);
      }
      UNROLL for (int half = 0; half < 2; ++half) {
        if (part * 2 + half >= in_packs) break;
        UNROLL for (int below = 0; below < 2; ++below) {  // row lane / 4, and eight below
          uint32_t* const word =
              reinterpret_cast<uint32_t*>(dz + at.dx + (row + lane / 4 + 8 * below) * at.narrow + part * 2 +
                                          half) +
              lane % 4;
          float first = values[half][2 * below], second = values[half][2 * below + 1];
          if (p.add) {
            const auto old = *reinterpret_cast<const Pack<bfloat16, 2>*>(word);
            first += float(old.value[0]);
            second += float(old.value[1]);
          }
          *word = rounded_pair(first, second);
        }
      }
    }
  }
  __syncthreads();
  if (tile > int(blockIdx.x)) store_dx(tile - tiles.blocks, shared + (stage ^ 1) * at.stage);

  partial += int64_t(blockIdx.x) * p.in * p.out;
  UNROLL for (int i = 0; i < GROUPS; ++i) {
    const int group = warp + i * warps;
    if (group * 16 >= p.out) break;
    UNROLL for (int part = 0; part < PARTS; ++part) {
      UNROLL for (int half = 0; half < 2; ++half) {
        UNROLL for (int below = 0; below < 2; ++below) {
          const int row = part * 16 + lane / 4 + 8 * below;
          if (row < p.in)
            store_rounded<2>(partial + row * p.out + group * 16 + half * 8 + lane % 4 * 2,
                             sums[i][part][half] + 2 * below);
        }
      }
    }
  }
}

}  // namespace

Conv1x1GradientTiles Conv1x1GradientTiles::of(int64_t rows, int64_t in, int64_t out) {
  constexpr int64_t most_rows = int64_t(1) << 30;
  constexpr size_t most_bytes = size_t(64) << 10;  // every GPU has them
  constexpr int most_sums = 6;                     // parts and groups of which sums stay in registers
  Conv1x1GradientTiles best;
  if (rows <= 0 || rows > most_rows || in <= 0 || in % pack != 0 || in > 64 || out <= 0 || out % 16 != 0 ||
      out > 256)
    return best;
  const int parts = int(in + 15) / 16, groups = int(out / 16 + warps - 1) / warps;
  if (parts * groups > most_sums) return best;
  const auto bytes = [&](int of_rows) {
    return size_t(SharedLayout(of_rows, int(in), int(out)).end) * sizeof(Numbers);
  };
  best.rows = 64;
  while (best.rows > 16 && bytes(best.rows) > most_bytes) best.rows -= 16;
  if (bytes(best.rows) > most_bytes) return {};
  best.parts = parts;
  best.groups = groups;
  best.shared_bytes = bytes(best.rows);
  best.tiles = int((rows + best.rows - 1) / best.rows);
  // As many blocks as the 132 multiprocessors of an H200 hold, with the same number of tiles or one fewer.
  const int held =
      std::min(int(multiprocessor_bytes / (best.shared_bytes + 1024)), parts * groups == 1 ? 3 : 2);
  const int most = 132 * held, steps = (best.tiles + most - 1) / most;
  best.blocks = (best.tiles + steps - 1) / steps;
  return best;
}

// Below 64 tiles few multiprocessors would have work.
bool prefers_conv1x1_gradients(int64_t rows, int64_t in, int64_t out) {
  const Conv1x1GradientTiles tiles = Conv1x1GradientTiles::of(rows, in, out);
  return device_properties().major >= 8 && tiles.parts > 0 && tiles.tiles >= 64 && in <= out;
}

template <class T>
void conv1x1_gradients(const Conv1x1Gradients<T>& p, float* dw) {
  const Conv1x1GradientTiles tiles = Conv1x1GradientTiles::of(p.rows, p.in, p.out);
  if (tiles.parts == 0) throw CudaError("conv1x1_batch_norm: the kernel does not support the sizes");
  const int64_t weights = int64_t(p.in) * p.out;
  const Workspace<float> partial(tiles.blocks * weights);
  LaunchConfig config(dim3(unsigned(tiles.blocks)), dim3(tile_threads), tiles.shared_bytes);
  config.bytes = int64_t(sizeof(T)) * (int64_t(p.rows) * (2 * p.out + (p.add ? 3 : 2) * p.in) + weights) +
                 int64_t(sizeof(float)) * weights * tiles.blocks;
  config.steps = (tiles.tiles + tiles.blocks - 1) / tiles.blocks;
  const auto start = [&]<int PARTS, int GROUPS>() {
    if (tiles.parts == PARTS && tiles.groups == GROUPS)
      launch(conv1x1_gradients_tiled<PARTS, GROUPS>, config, p, tiles, partial.data());
  };
  start.template operator()<1, 1>();
  start.template operator()<2, 1>();
  start.template operator()<3, 1>();
  start.template operator()<4, 1>();
  start.template operator()<1, 2>();
  start.template operator()<2, 2>();
  start.template operator()<3, 2>();
  add_partials<float>(partial.data(), dw, {1, tiles.blocks, weights});
}
template void conv1x1_gradients<bfloat16>(const Conv1x1Gradients<bfloat16>&, float*);

}  // namespace fovea::cuda
