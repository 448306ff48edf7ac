// Products of a matrix of many rows with a small one, on tensor cores: the 1x1 convolutions of a network's
// first blocks, where cuBLASLt reaches half of the bandwidth. With M rows, 2 M (K + N) bytes must move for M
// K N multiply-adds.
//
// A block keeps its columns of b in shared memory and walks down its tiles of 128 rows. It copies 32 columns
// of a at a time into a ring of three stages: while it computes one stage, the next two are being copied,
// across the end of a tile as well. Each of the eight warps, four by two, has 32 rows and half of the columns
// in registers. The results go through shared memory, 16 rows of a warp at a time, to be stored in packs.
#include "cuda/kernels/gemm_tiled.h"

#include <algorithm>

#include "cuda/device/sm_80.h"
#include "cuda/runtime/device.h"
#include "cuda/runtime/error.h"
#include "cuda/runtime/launch.h"

namespace fovea::cuda {
namespace {

using Numbers = Pack<bfloat16, 8>;
inline constexpr int pack = 8, tile_rows = 128, depth = 32, depth_packs = depth / pack, stages = 3;
inline constexpr int warps_down = 4, warps = 2 * warps_down, tile_threads = 32 * warps, half_rows = 16;
inline constexpr int most_pairs = 3;  // with four, the sums would not stay in registers

// What a launch does besides multiplying.
struct Forward {
  static constexpr bool turned = false, gathers = false, normalizes = false;
};
struct ForwardStatistics : Forward {
  static constexpr bool gathers = true;
};
struct ForwardNorm : Forward {
  static constexpr bool normalizes = true;
};
struct InputGradient : Forward {
  static constexpr bool turned = true;
};

// The layout of shared memory, in packs. Rows with an odd number of packs begin in different banks.
struct SharedLayout {
  int b, staged, scale, shift, ones, end;  // the ring of a is at 0
  HD SharedLayout(int pairs, int inner) {
    const int columns = 32 * pairs, inner_packs = (inner + 15) / 16 * 2;
    const int straight = inner_packs * pack * (columns / pack | 1), turned = columns * (inner_packs | 1);
    b = stages * tile_rows * depth_packs;
    staged = b + (straight > turned ? straight : turned);
    scale = staged + warps * half_rows * (2 * pairs | 1);
    shift = scale + columns / 4;
    ones = shift + columns / 4;
    end = ones + 2 * pairs;
  }
};

// The pack of a tile of a: eight rows, with one pack each, are in different banks.
__device__ inline int place_of(int row, int number) {
  return row * depth_packs + (number ^ (row / 2 % depth_packs));
}

template <int PAIRS, class Pass>
__global__ void __launch_bounds__(tile_threads, PAIRS == 1 ? 3 : 2)
    product_tiled(TiledGemm<bfloat16> p, GemmTiles tiles) {
  constexpr int columns = 32 * PAIRS, own = 2 * PAIRS;  // of a block; packs of a warp
  const SharedLayout at(PAIRS, p.inner);
  Numbers* const shared = dynamic_shared<Numbers>();
  Numbers* const b = shared + at.b;
  float *const scale = reinterpret_cast<float*>(shared + at.scale), *const shift = reinterpret_cast<float*>(
                                                                        shared + at.shift);
  const int thread = int(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int down = warp % warps_down, across = warp / warps_down * own;  // the warp's first row / 32; pack
  const int chunk = int(blockIdx.x) / tiles.column_tiles;
  const int first_column = int(blockIdx.x) % tiles.column_tiles * columns;

  // The block's columns of b, padded with zeros, in their order in memory.
  const int padded = (p.inner + 15) / 16 * 16;
  const int b_rows = Pass::turned ? columns : padded, b_packs = (Pass::turned ? padded : columns) / pack;
  NO_UNROLL for (int i = thread; i < b_rows * b_packs; i += tile_threads) {
    EXPECT_TRIPS(2);
    const int place = i / b_packs, number = i % b_packs;
    const int row = place + (Pass::turned ? first_column : 0);
    const int column = number * pack + (Pass::turned ? 0 : first_column);
    const int height = Pass::turned ? p.columns : p.inner, width = Pass::turned ? p.inner : p.columns;
    const bool wanted = row < height && column < width;
    copy_async(b[place * (b_packs | 1) + number].value, p.b + (wanted ? int64_t(row) * width + column : 0),
               wanted);
  }
  // c = scale * sum + shift
  if (thread < columns) {
    const int column = first_column + thread;
    float factor = 1, addend = 0;
    if (p.bias && column < p.columns) addend = float(p.bias[column]);
    if constexpr (Pass::normalizes) {
      if (column < p.columns) {
        const OutputNorm<1> norm(p.epilogue, column);
        factor = norm.scale[0];
        addend = norm.shift[0] + factor * addend;
      }
    }
    scale[thread] = factor;
    shift[thread] = addend;
  }
  if (Pass::gathers && thread < own * pack)
    shared[at.ones + thread / pack].value[thread % pack] = bfloat16(1);

  // Copies a tile of a step, as one group of copies.
  int next_tile = chunk, next = 0;
  const auto copy_next = [&](int stage) {
    if (next_tile < tiles.row_tiles) {
      UNROLL for (int i = 0; i < tile_rows * depth_packs / tile_threads; ++i) {
        const int row = (thread + i * tile_threads) / depth_packs, number = thread % depth_packs;
        const int a_row = next_tile * tile_rows + row;
        const int column = next + number * pack;
        const bool wanted = a_row < p.rows && column < p.inner;
        copy_async(shared[stage * tile_rows * depth_packs + place_of(row, number)].value,
                   p.a + (wanted ? int64_t(a_row) * p.inner + column : 0), wanted);
      }
      next += depth;
      if (next >= p.inner) next = 0, next_tile += tiles.chunks;
    }
    end_copy_group();
  };
  for (int stage = 0; stage + 1 < stages; ++stage) copy_next(stage);

  // A lane's packs of 16 rows of the result are those of every lines-th row, from `line` on.
  constexpr int lines = 32 / own, staged_packs = own | 1;
  Numbers* const staged = shared + at.staged + warp * half_rows * staged_packs;
  const int line = lane / own, column = first_column + (across + lane % own) * pack;
  float sums[2][own][4] = {};
  ProductSums statistics[Pass::gathers ? own : 1];
  int stage = 0, rows = 0, rows_of_warp = 0;
  // The packs of 16 rows that this lane loads for its sums: of two packs side by side, and of one with ones.
  const Numbers* const pair = staged + lane % 16 * staged_packs + lane / 16;
  const Numbers* const with_ones =
      lane / 8 % 2 ? shared + at.ones : staged + (lane / 16 * 8 + lane % 8) * staged_packs;
  NO_UNROLL for (int tile = chunk; tile < tiles.row_tiles; tile += tiles.chunks) {
    NO_UNROLL for (int begin = 0; begin < p.inner; begin += depth) {
      wait_for_copy_groups<stages - 2>();
      __syncthreads();
      copy_next(stage == 0 ? stages - 1 : stage - 1);
      const Numbers* const a = shared + stage * tile_rows * depth_packs;
      stage = stage + 1 == stages ? 0 : stage + 1;
      UNROLL for (int part = 0; part < depth; part += 16) {
        const int k = begin + part;
        if (k >= padded) break;
        uint32_t of_a[2][4];
        UNROLL for (int half = 0; half < 2; ++half) {
          const int row = down * 32 + half * half_rows + lane % 16;
          load_matrices<false>(of_a[half], a + place_of(row, part / pack + lane / 16));
        }
        UNROLL for (int i = 0; i < own; i += 2) {  // a pair of packs
          uint32_t of_b[4];
          const int number = across + i + lane / 16;
          if constexpr (Pass::turned)
            load_matrices<false>(of_b,
                                 b + (number * pack + lane % 8) * (b_packs | 1) + k / pack + lane / 8 % 2);
          else
            load_matrices<true>(of_b, b + (k + lane % 16) * (b_packs | 1) + number);
          UNROLL for (int half = 0; half < 2; ++half) {
            multiply_add(sums[half][i], of_a[half], of_b);
            multiply_add(sums[half][i + 1], of_a[half], of_b + 2);
          }
        }
      }
    }
    UNROLL for (int half = 0; half < 2; ++half) {
      const int first_row = tile * tile_rows + down * 32 + half * half_rows;
      // Row lane / 4 and, for the other, eight below.
      uint32_t* const words = reinterpret_cast<uint32_t*>(staged + lane / 4 * staged_packs) + lane % 4;
      UNROLL for (int i = 0; i < own; ++i) {
        float(&values)[4] = sums[half][i];
        const int number = (across + i) * pack + lane % 4 * 2;
        OutputNorm<2> norm;
        UNROLL for (int k = 0; k < 2; ++k) {
          norm.scale[k] = scale[number + k];
          norm.shift[k] = shift[number + k];
        }
        if constexpr (Pass::normalizes) {
          norm.apply<bfloat16>(p.epilogue.activation, values);
        } else {
          UNROLL for (int k = 0; k < 4; ++k) { values[k] += norm.shift[k % 2]; }
        }
        UNROLL for (int k = 0; k < 4; k += 2) {
          words[k / 2 * 8 * staged_packs * 4 + i * 4] = rounded_pair(values[k], values[k + 1]);
          values[k] = values[k + 1] = 0;
        }
      }
      __syncwarp();
      bfloat16* to = p.c + int64_t(first_row + line) * p.columns + column;
      UNROLL for (int i = 0; i < (half_rows + lines - 1) / lines; ++i) {
        const int row = line + i * lines;
        if (line < lines && row < half_rows && first_row + row < p.rows && column < p.columns)
          store_pack(to, staged[row * staged_packs + lane % own]);
        to += lines * p.columns;
      }
      if constexpr (Pass::gathers) {
        int wanted = p.rows - first_row;
        if (wanted < half_rows) {  // the others have the bias
          for (int i = lane; i < half_rows * own; i += 32) {
            EXPECT_SKIPPED(1);
            if (i / own >= wanted) staged[i / own * staged_packs + i % own] = {};
          }
          __syncwarp();
        }
        wanted = wanted < 0 ? 0 : wanted < half_rows ? wanted : half_rows;
        UNROLL for (int i = 0; i < own; i += 2) {
          uint32_t y[4], y_with_ones[4];
          load_matrices<true>(y, pair + i);
          UNROLL for (int k = 0; k < 2; ++k) {
            load_matrices<true>(y_with_ones, with_ones + i + k);
            statistics[i + k].add(y_with_ones, y + 2 * k);
            statistics[i + k].end_group(wanted, tile == chunk && half == 0, lane);
          }
        }
        rows_of_warp += wanted;
      }
      __syncwarp();
    }
    rows += p.rows - tile * tile_rows < tile_rows ? p.rows - tile * tile_rows : tile_rows;
  }

  if constexpr (Pass::gathers) {
    // The sums of the warps one below the other, where the ring was.
    struct OfWarp {
      OutputSums<1> sums;
      int rows;
    };
    OfWarp* const partial = reinterpret_cast<OfWarp*>(shared);
    __syncthreads();
    if (const int channel = ProductSums::channel(lane); channel >= 0) {
      UNROLL for (int i = 0; i < own; ++i) {
        partial[down * columns + (across + i) * pack + channel] = {statistics[i].of_channel(), rows_of_warp};
      }
    }
    __syncthreads();
    if (thread >= columns || first_column + thread >= p.columns) return;
    OutputSums<1> of_column = partial[thread].sums;
    UNROLL for (int i = 1; i < warps_down; ++i) {
      const OfWarp& other = partial[i * columns + thread];
      of_column.merge(other.sums, other.rows);
    }
    of_column.store(p.epilogue, chunk, rows, first_column + thread, p.columns);
  }
}

}  // namespace

GemmTiles GemmTiles::of(int64_t rows, int64_t columns, int64_t inner) {
  constexpr int64_t most = 4096, most_rows = int64_t(1) << 30;
  GemmTiles best;
  if (columns % pack != 0 || inner % pack != 0 || columns > most || inner > most || rows > most_rows ||
      rows * columns * inner == 0)
    return best;
  for (int pairs = 1; pairs <= most_pairs; ++pairs) {
    const size_t bytes = size_t(SharedLayout(pairs, int(inner)).end) * sizeof(Numbers);
    const int across = int(columns + 32 * pairs - 1) / (32 * pairs);
    if (bytes > size_t(64) << 10 || (best.pairs && across >= best.column_tiles)) continue;
    best.pairs = pairs;
    best.column_tiles = across;
    best.shared_bytes = bytes;
  }
  if (best.pairs == 0) return best;
  // As many blocks as the 132 multiprocessors of an H200 hold, with the same number of tiles or one fewer.
  best.row_tiles = int((rows + tile_rows - 1) / tile_rows);
  const int held = 132 * (best.pairs == 1 ? 3 : 2), most_chunks = std::max(1, held / best.column_tiles);
  const int steps = (best.row_tiles + most_chunks - 1) / most_chunks;
  best.chunks = (best.row_tiles + steps - 1) / steps;
  return best;
}

// A multiprocessor of an H200 moves 17.5 bytes per cycle (4.05 TB/s), and mma.sync does some 1,290
// multiply-adds: 63 % of what wgmma does (arXiv 2402.13499). At K N / (K + N) = 80 the second takes half of
// the time of the first, which hides it; beyond, cuBLASLt has wgmma and larger tiles. Below 32 tiles of rows
// few multiprocessors would have work. The model of cli/predict includes neither of these limits.
bool prefers_tiles(int64_t rows, int64_t columns, int64_t inner) {
  return device_properties().major >= 8 && rows >= 32 * tile_rows &&
         columns * inner < 80 * (columns + inner) && GemmTiles::of(rows, columns, inner).pairs > 0;
}

template <class T>
void gemm_tiled(const TiledGemm<T>& p) {
  const GemmTiles tiles = GemmTiles::of(p.rows, p.columns, p.inner);
  if (tiles.pairs == 0) throw CudaError("matrix product: the tiled kernel does not support its sizes");
  const int64_t c_size = int64_t(p.rows) * p.columns, chunks = p.epilogue.statistics ? tiles.chunks : 0;
  LaunchConfig config(dim3(unsigned(tiles.chunks * tiles.column_tiles)), dim3(tile_threads),
                      tiles.shared_bytes);
  config.bytes = int64_t(sizeof(T)) * (int64_t(p.inner) * (p.rows + p.columns) + c_size) +
                 int64_t(sizeof(float)) * 2 * chunks * p.columns;
  config.steps = (tiles.row_tiles + tiles.chunks - 1) / tiles.chunks;
  const auto start = [&]<int PAIRS>() {
    const auto kernel = p.turned                ? product_tiled<PAIRS, InputGradient>
                        : p.epilogue.statistics ? product_tiled<PAIRS, ForwardStatistics>
                        : p.epilogue.weight     ? product_tiled<PAIRS, ForwardNorm>
                                                : product_tiled<PAIRS, Forward>;
    launch(kernel, config, p, tiles);
  };
  if (tiles.pairs == 1) return start.template operator()<1>();
  if (tiles.pairs == 2) return start.template operator()<2>();
  start.template operator()<3>();
}
template void gemm_tiled<bfloat16>(const TiledGemm<bfloat16>&);

}  // namespace fovea::cuda
