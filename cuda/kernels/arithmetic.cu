// Arithmetic with broadcasting, and the sums that are its gradient. Bytes moved: binary (elements of a + of b
// + n) sizeof(T), affine and quotient 2 n sizeof(T), sum_to (n + outputs) sizeof(T) and two passes over its
// partial sums, which are few.
#include "cuda/kernels/arithmetic.h"

#include <algorithm>

#include "cuda/device/grid.h"
#include "cuda/device/vector.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"

namespace fovea::cuda {
namespace {

// One element per thread: the definition.
template <class Op, class T>
__global__ void binary_broadcast(const T* a, const T* b, T* y, BroadcastDims d, int64_t n) {
  for (int64_t i : grid_stride(n)) {
    int64_t rest = i, at_a = 0, at_b = 0;
    for (int axis = d.rank - 1; axis >= 0; --axis) {
      // The outermost index needs no division, and a row and a vector (two axes) need only one.
      const int64_t outer = axis ? rest / d.sizes[axis] : 0, index = rest - outer * d.sizes[axis];
      at_a += index * d.a_strides[axis];
      at_b += index * d.b_strides[axis];
      rest = outer;
    }
    y[i] = T(Op::of(Accumulator<T>(a[at_a]), Accumulator<T>(b[at_b])));
  }
}

// 16 bytes per thread if nothing is repeated.
template <class Op, class T>
__global__ void binary_packed(const T* a, const T* b, T* y, int64_t packs) {
  constexpr int size = pack_size<T>;
  for (int64_t i : grid_stride(packs)) {
    Pack<T, size> left = load_pack<size>(a + i * size);
    const Pack<T, size> right = load_pack<size>(b + i * size);
    for (int k = 0; k < size; ++k)
      left.value[k] = T(Op::of(Accumulator<T>(left.value[k]), Accumulator<T>(right.value[k])));
    store_pack(y + i * size, left);
  }
}

template <class T>
__global__ void affine_naive(const T* x, Accumulator<T> factor, Accumulator<T> term, T* y, int64_t n) {
  for (int64_t i : grid_stride(n)) y[i] = T(Accumulator<T>(x[i]) * factor + term);
}

template <class T>
__global__ void affine_packed(const T* x, Accumulator<T> factor, Accumulator<T> term, T* y, int64_t packs) {
  constexpr int size = pack_size<T>;
  for (int64_t i : grid_stride(packs)) {
    Pack<T, size> pack = load_pack<size>(x + i * size);
    for (int k = 0; k < size; ++k) pack.value[k] = T(Accumulator<T>(pack.value[k]) * factor + term);
    store_pack(y + i * size, pack);
  }
}

template <class T>
__global__ void quotient_naive(Accumulator<T> numerator, const T* x, T* y, int64_t n) {
  for (int64_t i : grid_stride(n)) y[i] = T(numerator / Accumulator<T>(x[i]));
}

template <class T>
__global__ void quotient_packed(Accumulator<T> numerator, const T* x, T* y, int64_t packs) {
  constexpr int size = pack_size<T>;
  for (int64_t i : grid_stride(packs)) {
    Pack<T, size> pack = load_pack<size>(x + i * size);
    for (int k = 0; k < size; ++k) pack.value[k] = T(numerator / Accumulator<T>(pack.value[k]));
    store_pack(y + i * size, pack);
  }
}

// ---- sums

// Some of a tensor's axes, in row-major order.
struct Axes {
  int rank = 0;
  int64_t sizes[BroadcastDims::max_rank] = {};
  int64_t strides[BroadcastDims::max_rank] = {};

  void append(int64_t size, int64_t stride) {
    sizes[rank] = size;
    strides[rank] = stride;
    ++rank;
  }
  HD int64_t offset(int64_t index) const {
    int64_t at = 0;
    // The loop runs over the maximum number of axes: unrolled, it reads the kernel's arguments in place,
    // without a copy to index into.
    for (int axis = BroadcastDims::max_rank - 1; axis >= 0; --axis) {
      if (axis >= rank) continue;
      const int64_t outer = axis ? index / sizes[axis] : 0;
      at += (index - outer * sizes[axis]) * strides[axis];
      index = outer;
    }
    return at;
  }
};

// One sum per thread, in index order: the definition, and the fast kernel if each sum has few terms.
template <class T>
__global__ void sum_to_naive(const T* x, T* y, Axes kept, Axes summed, int64_t outputs, int64_t terms) {
  for (int64_t i : grid_stride(outputs)) {
    const T* from = x + kept.offset(i);
    double sum = 0;
    for (int64_t k = 0; k < terms; ++k) sum += double(Accumulator<T>(from[summed.offset(k)]));
    y[i] = T(Accumulator<T>(sum));
  }
}

// How a block's threads are distributed over its sums and their terms: neighbouring threads read neighbouring
// numbers.
struct Tile {
  int sums, terms;  // sums * terms = block_threads
  bool along_sums;  // whether x's last axis is a kept one
};

// Block (i, c) adds chunk c of the terms of `tile.sums` outputs: each thread adds every tile.terms-th term,
// then a tree combines them. partial[c][output] is T if there is one chunk, otherwise double.
template <class T, class Partial>
__global__ void sum_to_tiled(const T* x, Partial* partial, Axes kept, Axes summed, Tile tile, int64_t outputs,
                             int64_t terms, int64_t chunk) {
  using R = Accumulator<T>;
  __shared__ R sums[block_threads];
  const int thread = int(threadIdx.x);
  const int column = tile.along_sums ? thread % tile.sums : thread / tile.terms;
  const int row = tile.along_sums ? thread / tile.sums : thread % tile.terms;
  const int64_t output = int64_t(blockIdx.x) * tile.sums + column;
  const int64_t begin = blockIdx.y * chunk, end = begin + chunk < terms ? begin + chunk : terms;
  R sum = 0;
  if (output < outputs) {
    const T* from = x + kept.offset(output);
    for (int64_t k = begin + row; k < end; k += tile.terms) sum += R(from[summed.offset(k)]);
  }
  R* mine = sums + row * tile.sums + column;
  *mine = sum;
  for (int step = tile.terms / 2; step > 0; step /= 2) {
    __syncthreads();
    if (row < step) *mine += mine[step * tile.sums];
  }
  if (row == 0 && output < outputs) partial[blockIdx.y * outputs + output] = Partial(*mine);
}

// The smallest power of two >= n, at most `most`.
int power_of_two(int64_t n, int most) {
  int power = 1;
  while (power < n && power < most) power *= 2;
  return power;
}

Tile tile_of(const Axes& kept, const Axes& summed, bool along_sums) {
  if (along_sums) {
    const int sums = power_of_two(kept.sizes[kept.rank - 1], 32);
    return {sums, block_threads / sums, true};
  }
  const int terms = power_of_two(summed.sizes[summed.rank - 1], block_threads);
  return {block_threads / terms, terms, false};
}

}  // namespace

template <class Op, class T>
void binary(const T* a, const T* b, T* y, const BroadcastDims& d, int64_t n, bool same) {
  const int64_t packs = same ? n / pack_size<T> : 0, packed = packs * pack_size<T>;
  launch(binary_packed<Op, T>, {grid_for(packs), block_threads}, a, b, y, packs);
  if (same) {  // the elements left over after the packs
    a += packed;
    b += packed;
  }
  launch(binary_broadcast<Op, T>, {grid_for(n - packed), block_threads}, a, b, y + packed, collapsed(d),
         n - packed);
}

template <class T>
void affine(const T* x, Accumulator<T> factor, Accumulator<T> term, T* y, int64_t n) {
  const int64_t packs = n / pack_size<T>, packed = packs * pack_size<T>;
  launch(affine_packed<T>, {grid_for(packs), block_threads}, x, factor, term, y, packs);
  launch(affine_naive<T>, {grid_for(n - packed), block_threads}, x + packed, factor, term, y + packed,
         n - packed);
}

template <class T>
void quotient(Accumulator<T> numerator, const T* x, T* y, int64_t n) {
  const int64_t packs = n / pack_size<T>, packed = packs * pack_size<T>;
  launch(quotient_packed<T>, {grid_for(packs), block_threads}, numerator, x, y, packs);
  launch(quotient_naive<T>, {grid_for(n - packed), block_threads}, numerator, x + packed, y + packed,
         n - packed);
}

template <class T>
void sum_to(const T* x, T* y, const BroadcastDims& d, int64_t n, int64_t outputs) {
  if (outputs == 0) return;
  const BroadcastDims dims = collapsed(d);
  Axes kept, summed;
  for (int axis = 0; axis < dims.rank; ++axis)
    (dims.a_strides[axis] ? kept : summed).append(dims.sizes[axis], dims.b_strides[axis]);
  const int64_t terms = n / outputs;
  if (terms < 32) {
    launch(sum_to_naive<T>, {grid_for(outputs), block_threads}, x, y, kept, summed, outputs, terms);
    return;
  }
  const Tile tile = tile_of(kept, summed, dims.a_strides[dims.rank - 1] != 0);
  // Chunks of at least eight rounds of the block, but no more of them than fill a GPU.
  constexpr int64_t enough_blocks = 1024;
  const int64_t blocks = (outputs + tile.sums - 1) / tile.sums;
  const int64_t most = std::max<int64_t>(1, std::min(enough_blocks / blocks, terms / (8 * tile.terms)));
  const int64_t chunk = (terms + most - 1) / most, chunks = (terms + chunk - 1) / chunk;
  const dim3 grid(unsigned(blocks), static_cast<unsigned>(chunks));
  if (chunks == 1) {
    launch(sum_to_tiled<T, T>, {grid, block_threads}, x, y, kept, summed, tile, outputs, terms, chunk);
    return;
  }
  Workspace<Accumulator<T>> partial(chunks * outputs);
  launch(sum_to_tiled<T, Accumulator<T>>, {grid, block_threads}, x, partial.data(), kept, summed, tile,
         outputs, terms, chunk);
  // The partial sums are a matrix (chunks, outputs), whose column sums are taken.
  Axes columns, rows;
  columns.append(outputs, 1);
  rows.append(chunks, outputs);
  const Tile last = tile_of(columns, rows, true);
  launch(sum_to_tiled<Accumulator<T>, T>,
         {dim3(unsigned((outputs + last.sums - 1) / last.sums)), block_threads}, partial.data(), y, columns,
         rows, last, outputs, chunks, chunks);
}

#define INSTANTIATE_OP(Op, T) \
  template void binary<Op, T>(const T*, const T*, T*, const BroadcastDims&, int64_t, bool);
#define INSTANTIATE(T)                                                            \
  INSTANTIATE_OP(Add, T)                                                          \
  INSTANTIATE_OP(Subtract, T)                                                     \
  INSTANTIATE_OP(Multiply, T)                                                     \
  INSTANTIATE_OP(Divide, T)                                                       \
  template void affine<T>(const T*, Accumulator<T>, Accumulator<T>, T*, int64_t); \
  template void quotient<T>(Accumulator<T>, const T*, T*, int64_t);               \
  template void sum_to<T>(const T*, T*, const BroadcastDims&, int64_t, int64_t);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(bfloat16)

}  // namespace fovea::cuda
