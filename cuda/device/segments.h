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
    while (chunk >= of.first + of.count) {
      EXPECT_TRIPS(1);
      of = g.of[++segment];
    }
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
  __device__ int64_t coefficient(int64_t channel) const { return segment * channels + channel; }
  __device__ int64_t coefficient() const { return coefficient(column); }
  __device__ bool first_line() const { return inside && threadIdx.y == 0; }
  // The number of the group of blocks that finish together: those of one segment and one tile of channels.
  __device__ int64_t group(const SegmentGrid& g) const { return segment * g.tiles + tile; }
};

// Adds up Count / N sums per channel over the lines of a block, and calls use(channel, totals) for each
// channel in a thread of its own, so that what follows runs for all channels at once. `sums` are the thread's
// own, of its N channels: the first of each, then the second. All threads of the block must call it, with
// shared_bytes<R>(Count) of dynamic shared memory.
template <int N, int Count, class R, class F>
__device__ inline void for_each_channel(const R (&sums)[Count], const SegmentPlace<N>& at, F&& use) {
  constexpr int of_channel = Count / N;
  const ColumnSums<Count, R> of_block(sums);
  const int width = int(blockDim.x), threads = width * int(blockDim.y),
            thread = int(threadIdx.y) * width + int(threadIdx.x);
  NO_UNROLL for (int i = thread; i < width * N; i += threads) {
    EXPECT_TRIPS(1);
    const int64_t channel = int64_t(at.tile) * width * N + i;
    if (channel >= at.channels) break;
    R totals[of_channel];
    UNROLL for (int j = 0; j < of_channel; ++j) totals[j] = of_block.sum(j * N + i % N, i / N);
    use(channel, totals);
  }
  __syncthreads();
}

// Two sums per channel for each chunk of each process, (processes, chunks, 2, channels), restricted to this
// block's segment and columns.
template <int N, class R>
class Chunks {
 public:
  __device__ Chunks(const R* partial, int processes, const SegmentPlace<N>& at, const SegmentGrid& grid)
      : grid_(grid), at_(at), processes_(processes), first_(partial + 2 * at.of.first * grid.columns) {}
  __device__ static void store(const R (&sums)[2], int64_t channel, R* partial, const SegmentPlace<N>& at,
                               const SegmentGrid& grid) {
    R* to = partial + 2 * at.chunk * grid.columns + channel;
    to[0] = sums[0];
    to[grid.columns] = sums[1];
  }

  __device__ const R* first() const { return first_; }  // the first chunk's first sums, (channels)
  __device__ int64_t rows() const { return at_.of.rows * processes_; }
  // Calls use(rows, first sums, second sums) for each of this thread's chunks, of which there are usually
  // Trips. It loads four at once, and the first of them again rather than a branch if there are fewer.
  template <int Trips, class F>
  __device__ void for_each(F&& use) const {
    constexpr unsigned at_once = 4;
    const unsigned chunks = at_.inside ? unsigned(at_.of.count) : 0, lines = blockDim.y,
                   columns = unsigned(grid_.columns);
    const R* from = first_ + at_.column;
    for (int process = 0; process < processes_; ++process, from += 2 * grid_.chunks * grid_.columns) {
      EXPECT_TRIPS(1);
      NO_UNROLL for (unsigned i = threadIdx.y; i < chunks; i += at_once * lines) {
        EXPECT_TRIPS((Trips + 3) / 4);
        Pack<R, N> sums[at_once], others[at_once];
        UNROLL for (unsigned k = 0; k < at_once; ++k) {
          const unsigned chunk = i + k * lines < chunks ? i + k * lines : i;
          sums[k] = load_pack<N>(from + 2 * chunk * columns);
          others[k] = load_pack<N>(from + (2 * chunk + 1) * columns);
        }
        UNROLL for (unsigned k = 0; k < at_once; ++k) {
          const int64_t left = at_.of.rows - (i + k * lines) * grid_.chunk_rows;
          if (i + k * lines < chunks)
            use(left < grid_.chunk_rows ? left : grid_.chunk_rows, sums[k], others[k]);
        }
      }
    }
  }

 private:
  const SegmentGrid& grid_;
  const SegmentPlace<N>& at_;
  int processes_;
  const R* first_;
};

// ColumnWalk for the rows of a segment, with additions instead of a division for each row.
template <int N>
class RowWalk {
 public:
  unsigned left;  // remaining rows, including the current one
  unsigned pack;  // the index of the current row's pack: SegmentPlace::offset() / N

  __device__ explicit RowWalk(const SegmentPlace<N>& at)
      : left(at.begin < at.end ? (unsigned(at.end - at.begin) + blockDim.y - 1) / blockDim.y : 0),
        pack(unsigned(at.offset(at.begin) / N)),
        size_(unsigned(at.of.size)),
        pixel_(unsigned(at.begin) % size_),
        pixels_(blockDim.y % size_),
        step_((blockDim.y + blockDim.y / size_ * unsigned(at.gap)) * unsigned(at.channels / N)),
        gap_(unsigned(at.gap) * unsigned(at.channels / N)) {}
  __device__ void next() {
    pack += step_;
    pixel_ += pixels_;
    if (pixel_ < size_) return;
    pixel_ -= size_;
    pack += gap_;
  }

 private:
  unsigned size_, pixel_, pixels_;  // pixels of the segment in an image, the current one, and a step's
  unsigned step_, gap_;             // packs of a step, and what is added to it from one image to the next
};

// for_each_row_of() the thread's rows (columns.h).
template <int N, class T, int Arrays, class F>
__device__ inline void for_each_row(const SegmentPlace<N>& at, const T* const (&from)[Arrays], F&& use) {
  for_each_row_of<N>(RowWalk<N>(at), from, use);
}

}  // namespace fovea
