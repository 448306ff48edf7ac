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
inline constexpr ColumnPlan plan_for_rows = {1056, 4, 256, 64};  // elementwise, with for_each_row()
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

inline constexpr unsigned row_depth = 4;  // rows that a thread loads before it uses the first

// Calls use(index, packs) for each row of a walk (ColumnWalk, RowWalk), with one pack of each of the arrays
// and its index in them (pack_at(), vector.h).
template <int N, class Walk, class T, int Arrays, class F>
__device__ inline void for_each_row_of(Walk walk, const T* const (&from)[Arrays], F&& use) {
  NO_UNROLL while (walk.left > 0) {
    Pack<T, N> packs[row_depth][Arrays];
    unsigned index[row_depth];
    UNROLL for (unsigned i = 0; i < row_depth; ++i) {
      index[i] = i == 0 || i < walk.left ? walk.pack : index[0];
      UNROLL for (int a = 0; a < Arrays; ++a) packs[i][a] = load_pack<N>(pack_at<N>(from[a], index[i]));
      walk.next();
    }
    UNROLL for (unsigned i = 0; i < row_depth; ++i) {
      if (i == 0 || i < walk.left) use(index[i], packs[i]);
    }
    walk.left -= walk.left < row_depth ? walk.left : row_depth;
  }
}

// Walks down a thread's rows, blockDim.y apart. It counts packs of N numbers, of which there are fewer than
// 2^32, to save registers.
template <int N>
struct ColumnWalk {
  unsigned left;  // remaining rows, including the current one
  unsigned pack;  // the index of the current row's pack: ColumnPlace::offset() / N
  unsigned step;

  __device__ explicit ColumnWalk(const ColumnPlace<N>& at)
      : left(at.begin < at.end ? (unsigned(at.end - at.begin) + blockDim.y - 1) / blockDim.y : 0),
        pack(unsigned(at.offset(at.begin) / N)),
        step(blockDim.y * unsigned(at.stride / N)) {}
  __device__ void next() { pack += step; }
};

// for_each_row_of() the thread's rows.
template <int N, class T, int Arrays, class F>
__device__ inline void for_each_row(const ColumnPlace<N>& at, const T* const (&from)[Arrays], F&& use) {
  for_each_row_of<N>(ColumnWalk<N>(at), from, use);
}

// Sums over the lines of a block, of Count values per thread, in a fixed order and in dynamic shared memory:
// shared_bytes<R>(Count). First up to 4 threads per value each add a part of its lines; sum() adds their
// sums. All threads must construct it, and come to another barrier before the memory is used again.
template <int Count, class R>
class ColumnSums {
 public:
  __device__ explicit ColumnSums(const R (&values)[Count])
      : shared_(dynamic_shared<R>()),
        width_(int(blockDim.x)),
        threads_(width_ * int(blockDim.y)),
        parts_(int(blockDim.y) / Count) {
    const int thread = int(threadIdx.y) * width_ + int(threadIdx.x);
    parts_ = parts_ < 1 ? 1 : parts_ > most_parts ? most_parts : parts_;
    const int abreast = parts_ * width_;
    UNROLL for (int k = 0; k < Count; ++k) { shared_[k * threads_ + thread] = values[k]; }
    __syncthreads();
    NO_UNROLL for (int i = thread; i < Count * abreast; i += threads_) {
      EXPECT_TRIPS(1);
      R* const of_part = shared_ + i / abreast * threads_;
      R sum = R(0);
      UNROLL_BY_4 for (int j = i % abreast; j < threads_; j += abreast) {
        EXPECT_TRIPS(8);
        sum += of_part[j];
      }
      of_part[i % abreast] = sum;
    }
    __syncthreads();
  }
  // The sum of value k of column x.
  __device__ R sum(int k, int x) const {
    const R* const of_parts = shared_ + k * threads_ + x;
    R result = of_parts[0];
    UNROLL for (int part = 1; part < most_parts; ++part) {
      if (part < parts_) result += of_parts[part * width_];
    }
    return result;
  }

 private:
  static constexpr int most_parts = 4;
  R* shared_;
  int width_, threads_, parts_;
};

// Adds the `values` of a column's threads; the first line gets the sums.
template <int Count, class R>
__device__ inline void block_column_sum(R (&values)[Count]) {
  const ColumnSums<Count, R> sums(values);
  if (threadIdx.y == 0) {
    UNROLL for (int k = 0; k < Count; ++k) { values[k] = sums.sum(k, int(threadIdx.x)); }
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
