#pragma once
#include <algorithm>
#include <cstdint>
#include <span>

#include "cuda/device/columns.h"
#include "cuda/device/unroll.h"

namespace fovea {

// Shared by kernels that treat segments of the pixels of a tensor (images, pixels, channels) separately, such
// as the levels of a pyramid: a segment's rows are its pixels in all images. One segment of one image is the
// matrix of columns.h.

inline constexpr int64_t max_segments = 8;
inline constexpr int row_depth = 4;  // rows that a thread loads before it uses the first

// A ColumnGrid over the rows of all segments; `chunks` counts the chunks of all of them.
struct SegmentGrid : ColumnGrid {
  struct Segment {
    int64_t begin, size;         // pixels
    int64_t rows, first, count;  // its rows, and its own chunks
  } of[max_segments] = {};
  int segments = 1;
  int64_t pixels = 0;

  // Loop iterations of the busiest thread.
  int64_t steps() const {
    int64_t most = 0;
    for (int i = 0; i < segments; ++i) most = std::max(most, std::min(of[i].rows, chunk_rows));
    return (most + lines * row_depth - 1) / (lines * row_depth);
  }
};

// `sizes` are the pixels of each segment, which add up to those of an image.
inline SegmentGrid segment_grid(int64_t images, std::span<const int64_t> sizes, int64_t channels, int pack,
                                ColumnPlan plan) {
  int64_t pixels = 0;
  for (const int64_t size : sizes) pixels += size;
  SegmentGrid g{column_grid(1, images * pixels, channels, pack, plan)};
  g.segments = int(sizes.size());
  g.pixels = pixels;
  g.chunks = 0;
  int64_t begin = 0;
  for (int i = 0; i < g.segments; begin += sizes[size_t(i++)]) {
    const int64_t size = sizes[size_t(i)], rows = images * size;
    g.of[i] = {begin, size, rows, g.chunks, (rows + g.chunk_rows - 1) / g.chunk_rows};
    g.chunks += g.of[i].count;
  }
  return g;
}

// A thread's place: rows begin, begin + blockDim.y, ... of its segment, N channels.
template <int N>
struct SegmentPlace {
  SegmentGrid::Segment of;
  int segment, tile;
  int64_t chunk, first, begin, end, column, channels, gap;
  bool inside;

  // The place in this block's chunk.
  __device__ explicit SegmentPlace(const SegmentGrid& g) : SegmentPlace(g, blockIdx.x / unsigned(g.tiles)) {}
  // The place in a given chunk.
  __device__ SegmentPlace(const SegmentGrid& g, int64_t chunk_) : chunk(chunk_), channels(g.columns) {
    segment = 0;
    of = g.of[0];
    while (chunk >= of.first + of.count) of = g.of[++segment];
    tile = int(blockIdx.x % unsigned(g.tiles));
    first = (chunk - of.first) * g.chunk_rows;
    end = first + g.chunk_rows < of.rows ? first + g.chunk_rows : of.rows;
    column = (int64_t(tile) * g.width + threadIdx.x) * N;
    inside = column < channels;
    begin = inside ? first + threadIdx.y : end;
    gap = g.pixels - of.size;
  }
  // The first of the thread's numbers in a row of the segment.
  __device__ int64_t offset(int64_t row) const {
    // A 32-bit division is cheaper, and rows are below 2^32 here.
    const int64_t skipped = gap ? int64_t(unsigned(row) / unsigned(of.size)) * gap : 0;
    return (of.begin + row + skipped) * channels + column;
  }
  __device__ int64_t coefficient() const { return segment * channels + column; }
  __device__ bool first_line() const { return inside && threadIdx.y == 0; }
  // The number of the group of blocks that finish together: those of one segment and one tile of channels.
  __device__ int64_t group(const SegmentGrid& g) const { return segment * g.tiles + tile; }
};

// Two sums per column for each chunk of each process, (processes, chunks, 2, channels), restricted to this
// block's segment and columns. If `rows` is given, chunks have these numbers of rows, otherwise those of the
// grid.
template <int N, class R>
class Chunks {
 public:
  __device__ Chunks(const R* partial, int processes, const SegmentPlace<N>& at, const SegmentGrid& grid,
                    const int* rows = nullptr)
      : grid_(grid),
        at_(at),
        processes_(processes),
        rows_(rows),
        first_(partial + 2 * at.of.first * grid.columns + at.column) {}
  // Called by the block's first line.
  __device__ static void store(const R* sums, R* partial, const SegmentPlace<N>& at,
                               const SegmentGrid& grid) {
    R* to = partial + 2 * at.chunk * grid.columns + at.column;
    store_rounded<N>(to, sums);
    store_rounded<N>(to + grid.columns, sums + N);
  }

  __device__ const R* first() const { return first_; }  // the first chunk's first sums
  __device__ int64_t rows() const { return at_.of.rows * processes_; }
  // Calls use(rows, first sums, second sums) for each of this thread's chunks.
  template <class F>
  __device__ void for_each(F&& use) const {
    const R* from = first_;
    for (int process = 0; process < processes_; ++process, from += 2 * grid_.chunks * grid_.columns)
      UNROLL_BY_4 for (int64_t i = at_.inside ? threadIdx.y : at_.of.count; i < at_.of.count;
                       i += blockDim.y) {
        const int64_t left = at_.of.rows - i * grid_.chunk_rows;
        use(rows_                     ? rows_[i]
            : left < grid_.chunk_rows ? left
                                      : grid_.chunk_rows,
            load_pack<N>(from + 2 * i * grid_.columns), load_pack<N>(from + (2 * i + 1) * grid_.columns));
      }
  }

 private:
  const SegmentGrid& grid_;
  const SegmentPlace<N>& at_;
  int processes_;
  const int* rows_;
  const R* first_;
};

// Calls use(offset, packs) for each of a thread's rows, with one pack of each of the arrays.
template <int N, class T, int Arrays, class F>
__device__ inline void for_each_row(const SegmentPlace<N>& at, const T* const (&from)[Arrays], F&& use) {
  NO_UNROLL for (int64_t row = at.begin; row < at.end; row += row_depth * blockDim.y) {
    Pack<T, N> packs[row_depth][Arrays];
    int64_t offset[row_depth];
    UNROLL for (int i = 0; i < row_depth; ++i) {
      const int64_t this_row = row + i * blockDim.y;
      offset[i] = at.offset(this_row < at.end ? this_row : row);
      UNROLL for (int a = 0; a < Arrays; ++a) packs[i][a] = load_pack<N>(from[a] + offset[i]);
    }
    UNROLL for (int i = 0; i < row_depth; ++i) {
      if (row + i * blockDim.y < at.end) use(offset[i], packs[i]);
    }
  }
}

}  // namespace fovea
