#pragma once
#include <algorithm>
#include <cstdint>

#include "cuda/device/columns.h"
#include "cuda/device/unroll.h"
#include "cuda/kernels/batch_norm.h"

namespace fovea::cuda {

inline constexpr int depth = 4;  // rows that a thread loads before it uses the first

// ColumnGrid over the rows of all segments; `chunks` is the number of all chunks.
struct SegmentGrid : ColumnGrid {
  struct Segment {
    int64_t begin, size;         // pixels
    int64_t rows, first, count;  // its rows, and which chunks are its own
  } of[BatchNormDims::max_segments] = {};
  int segments = 1;
  int64_t pixels = 0;

  int64_t steps() const {
    int64_t most = 0;
    for (int i = 0; i < segments; ++i) most = std::max(most, std::min(of[i].rows, chunk_rows));
    return (most + lines * depth - 1) / (lines * depth);
  }
};

inline SegmentGrid segment_grid(const BatchNormDims& d, int pack, ColumnPlan plan) {
  SegmentGrid g{column_grid(1, d.images * d.pixels, d.channels, pack, plan)};
  g.segments = d.segments;
  g.pixels = d.pixels;
  g.chunks = 0;
  for (int64_t i = 0, begin = 0; i < d.segments; begin += d.size[i++]) {
    const int64_t rows = d.rows(int(i)), count = (rows + g.chunk_rows - 1) / g.chunk_rows;
    g.of[i] = {begin, d.size[i], rows, g.chunks, count};
    g.chunks += count;
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

  __device__ explicit SegmentPlace(const SegmentGrid& g) : SegmentPlace(g, blockIdx.x / unsigned(g.tiles)) {}
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
  __device__ int64_t offset(int64_t row) const {
    // The division is for rows below 2^32 only, and costs less so.
    const int64_t skipped = gap ? int64_t(unsigned(row) / unsigned(of.size)) * gap : 0;
    return (of.begin + row + skipped) * channels + column;
  }
  __device__ int64_t coefficient() const { return segment * channels + column; }
  __device__ bool first_line() const { return inside && threadIdx.y == 0; }
  __device__ int64_t group(const SegmentGrid& g) const { return segment * g.tiles + tile; }  // of blocks
};

// Calls use(offset, packs) for each of a thread's rows, with one pack of each of the arrays.
template <int N, class T, int Arrays, class F>
__device__ inline void for_each_row(const SegmentPlace<N>& at, const T* const (&from)[Arrays], F&& use) {
  NO_UNROLL for (int64_t row = at.begin; row < at.end; row += depth * blockDim.y) {
    Pack<T, N> packs[depth][Arrays];
    int64_t offset[depth];
    UNROLL for (int i = 0; i < depth; ++i) {
      const int64_t this_row = row + i * blockDim.y;
      offset[i] = at.offset(this_row < at.end ? this_row : row);
      UNROLL for (int a = 0; a < Arrays; ++a) packs[i][a] = load_pack<N>(from[a] + offset[i]);
    }
    UNROLL for (int i = 0; i < depth; ++i) {
      if (row + i * blockDim.y < at.end) use(offset[i], packs[i]);
    }
  }
}

}  // namespace fovea::cuda
