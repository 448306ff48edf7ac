#pragma once
#include <algorithm>
#include <cstdint>

#include "cuda/device/unroll.h"
#include "cuda/device/vector.h"
#include "cuda/platform.h"

namespace fovea {

// Shared by kernels that walk down the columns of row-major matrices: sums over rows, and elementwise work
// whose coefficients belong to a column (a channel) and stay in registers. A thread has N neighbouring
// columns. A block is `width` threads along the columns by `lines` along the rows, and has `chunk_rows` rows
// of one matrix.
struct ColumnGrid {
  int64_t matrices = 0, rows = 0, columns = 0;
  int64_t chunks = 1, chunk_rows = 0;  // of the rows of a matrix
  int64_t tiles = 1;                   // of the columns
  int width = 1, lines = 1;

  dim3 grid() const { return dim3(unsigned(matrices * chunks * tiles)); }
  dim3 block() const { return dim3(unsigned(width), unsigned(lines)); }
  int64_t steps() const { return (chunk_rows + lines - 1) / lines; }  // rows that a thread walks down
  // The number of partial sums, one for each column of each chunk.
  int64_t partials() const { return matrices * chunks * columns; }
  // For block_column_sum of `count` values of type R per thread.
  template <class R>
  size_t shared_bytes(int count) const {
    return size_t(width) * size_t(lines) * size_t(count) * sizeof(R);
  }
};

// How column_grid() cuts a matrix.
struct ColumnPlan {
  int64_t blocks;   // enough to keep a large GPU busy; each more costs coefficients or partial sums
  int64_t rows;     // of a thread, at least, while there are enough
  int threads;      // of a block, at most
  int64_t columns;  // of a block, at most, in packs
};
inline constexpr int64_t few_rows = 16;  // one thread adds them faster than a block
inline constexpr ColumnPlan plan_for_sums = {1024, 8, 256, 32};
inline constexpr ColumnPlan plan_for_elements = {8192, 4, 256, 32};
inline constexpr ColumnPlan plan_for_partials = {1, int64_t(1) << 40, 512, 8};  // all rows in one chunk

// Depends only on the sizes, so that sums have the same bits on every device.
inline ColumnGrid column_grid(int64_t matrices, int64_t rows, int64_t columns, int pack, ColumnPlan plan) {
  ColumnGrid g;
  g.matrices = matrices;
  g.rows = rows;
  g.columns = columns;
  const int64_t packs = columns / pack;
  g.tiles = std::max<int64_t>(1, (packs + plan.columns - 1) / plan.columns);
  g.width = int(std::max<int64_t>(1, (packs + g.tiles - 1) / g.tiles));
  g.lines = int(std::max<int64_t>(1, std::min<int64_t>(plan.threads / g.width, rows)));
  const int64_t wanted = std::max<int64_t>(1, plan.blocks / std::max<int64_t>(1, matrices * g.tiles));
  const int64_t most = (rows + g.lines * plan.rows - 1) / (g.lines * plan.rows);
  g.chunks = std::max<int64_t>(1, std::min(wanted, most));
  g.chunk_rows = (rows + g.chunks - 1) / g.chunks;
  g.chunk_rows = (g.chunk_rows + g.lines - 1) / g.lines * g.lines;
  g.chunks = g.chunk_rows ? (rows + g.chunk_rows - 1) / g.chunk_rows : 1;
  return g;
}

// A thread's place: for (int64_t row = at.begin; row < at.end; row += blockDim.y) use x[at.offset(row)] and
// the N - 1 after it. Threads beyond the last column have no rows, but take part in the barriers.
template <int N>
struct ColumnPlace {
  int64_t matrix, chunk, column, begin, end;
  int64_t first, stride;
  bool inside;

  // The place of the calling thread.
  __device__ explicit ColumnPlace(const ColumnGrid& g) {
    const unsigned tiles = unsigned(g.tiles), chunks = unsigned(g.chunks);
    const unsigned tile = blockIdx.x % tiles, other = blockIdx.x / tiles;
    chunk = other % chunks;
    matrix = other / chunks;
    column = (int64_t(tile) * g.width + threadIdx.x) * N;
    inside = column < g.columns;
    end = (chunk + 1) * g.chunk_rows < g.rows ? (chunk + 1) * g.chunk_rows : g.rows;
    begin = inside ? chunk * g.chunk_rows + threadIdx.y : end;
    first = matrix * g.rows * g.columns + column;
    stride = g.columns;
  }
  __device__ int64_t offset(int64_t row) const { return first + row * stride; }
  // The index of this matrix, chunk and column in an array matrices x chunks x columns.
  __device__ int64_t partial(const ColumnGrid& g) const {
    return (matrix * g.chunks + chunk) * g.columns + column;
  }
  __device__ bool first_line() const { return inside && threadIdx.y == 0; }
};

// Adds the `values` of a column's threads in a fixed order; the first line gets the sums. All threads must
// call it, with shared_bytes<R>(Count) of dynamic shared memory. First up to 4 threads per value each add a
// part of its lines, then the first line adds their sums.
template <int Count, class R>
__device__ inline void block_column_sum(R (&values)[Count]) {
  R* shared = dynamic_shared<R>();
  const int width = int(blockDim.x), threads = width * int(blockDim.y),
            thread = int(threadIdx.y) * width + int(threadIdx.x);
  int parts = int(blockDim.y) / Count;
  parts = parts < 1 ? 1 : parts > 4 ? 4 : parts;
  const int abreast = parts * width;
  UNROLL for (int k = 0; k < Count; ++k) { shared[k * threads + thread] = values[k]; }
  __syncthreads();
  NO_UNROLL for (int i = thread; i < Count * abreast; i += threads) {
    R* const of_part = shared + i / abreast * threads;
    R sum = R(0);
    UNROLL_BY_4 for (int j = i % abreast; j < threads; j += abreast) sum += of_part[j];
    of_part[i % abreast] = sum;
  }
  __syncthreads();
  if (threadIdx.y == 0) {
    UNROLL for (int k = 0; k < Count; ++k) {
      values[k] = shared[k * threads + thread];
      UNROLL for (int part = 1; part < 4; ++part) {
        if (part < parts) values[k] += shared[k * threads + part * width + thread];
      }
    }
  }
  __syncthreads();
}

// Calls f.operator()<N>() with the columns of a thread: a pack of 16 bytes if rows can be read so, else 1.
template <class T, class F>
void with_column_pack(int64_t columns, F&& f) {
  if (packs_fit<T>(columns))
    f.template operator()<pack_size<T>>();
  else
    f.template operator()<1>();
}

}  // namespace fovea
