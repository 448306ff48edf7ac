// Casts, copies of runs of bytes (for concat and slice), and transposes. Bytes moved: a cast n (sizeof(From)
// + sizeof(To)), a copy and a transpose twice what they copy; nothing else takes time.
#include "cuda/kernels/shape_ops.h"

#include <algorithm>

#include "cuda/device/grid.h"
#include "cuda/device/vector.h"
#include "cuda/runtime/launch.h"

namespace fovea::cuda {
namespace {

// One element per thread: the definition, and the elements left over after the packs.
template <class From, class To>
__global__ void cast_naive(const From* x, To* y, int64_t n) {
  for (int64_t i : grid_stride(n)) y[i] = converted<To>(x[i]);
}

// As many elements of both types as fit into 16 bytes of the larger one.
template <class From, class To>
inline constexpr int cast_pack_size = pack_size<From> < pack_size<To> ? pack_size<From> : pack_size<To>;

template <class From, class To>
__global__ void cast_packed(const From* x, To* y, int64_t packs) {
  constexpr int size = cast_pack_size<From, To>;
  for (int64_t i : grid_stride(packs)) {
    const Pack<From, size> from = load_pack<size>(x + i * size);
    Pack<To, size> to;
    for (int k = 0; k < size; ++k) to.value[k] = converted<To>(from.value[k]);
    store_pack(y + i * size, to);
  }
}

// With Word uint8_t, one byte per thread, it is the definition; uint4 moves 16 bytes. Threads run along a
// row, and blocks of short rows take several, so that no index needs a division.
template <class Word>
__global__ void copy_rows_kernel(std::byte* to, int64_t to_step, const std::byte* from, int64_t from_step,
                                 int64_t words, int64_t rows) {
  const int64_t first_row = int64_t(blockIdx.y) * blockDim.y + threadIdx.y;
  const int64_t row_stride = int64_t(gridDim.y) * blockDim.y;
  const int64_t first = int64_t(blockIdx.x) * blockDim.x + threadIdx.x,
                stride = int64_t(gridDim.x) * blockDim.x;
  for (int64_t row = first_row; row < rows; row += row_stride) {
    const Word* source = reinterpret_cast<const Word*>(from + row * from_step);
    Word* target = reinterpret_cast<Word*>(to + row * to_step);
    for (int64_t i = first; i < words; i += stride) target[i] = source[i];
  }
}

template <class Word>
void copy_words(std::byte* to, int64_t to_step, const std::byte* from, int64_t from_step, int64_t bytes,
                int64_t rows) {
  const int64_t words = bytes / int64_t(sizeof(Word));
  unsigned width = 1;  // threads along a row
  while (width < unsigned(block_threads) && width < words) width *= 2;
  const unsigned height = unsigned(block_threads) / width;
  const dim3 along_row = grid_for(words, int(width)), down = grid_for(rows, int(height));
  const LaunchConfig config(dim3(along_row.x, std::min(down.x, 65535u)), dim3(width, height));
  launch(copy_rows_kernel<Word>, config.moves(2 * bytes * rows), to, to_step, from, from_step, words, rows);
}

// One word per thread, in the order of y: the definition, and the fast kernel if many words are neighbours on
// both sides. d.inner counts words.
template <class Word>
__global__ void transpose_naive(const Word* x, Word* y, TransposeDims d) {
  for (int64_t i : grid_stride(d.outer * d.a * d.middle * d.b * d.inner)) {
    const int64_t inner = i % d.inner, at = i / d.inner;
    const int64_t a = at % d.a, m = at / d.a % d.middle, b = at / d.a / d.middle % d.b;
    const int64_t outer = at / d.a / d.middle / d.b;
    y[i] = x[(((outer * d.a + a) * d.middle + m) * d.b + b) * d.inner + inner];
  }
}

// If inner is one word: a block reads a square of `tile` rows of x by `tile` columns and writes it along the
// rows of y, so that neighbouring threads have neighbouring words in both. The extra column puts the words of
// a column into different banks of shared memory.
constexpr int tile = 32, tile_lines = 8;
template <class Word>
__global__ void transpose_tiled(const Word* x, Word* y, TransposeDims d, int64_t a_tiles, int64_t b_tiles) {
  __shared__ Word words[tile][tile + 1];
  const int column = int(threadIdx.x), line = int(threadIdx.y);
  for (int64_t i = blockIdx.x; i < d.outer * d.middle * a_tiles * b_tiles; i += gridDim.x) {
    const int64_t first_b = i % b_tiles * tile, first_a = i / b_tiles % a_tiles * tile;
    const int64_t m = i / b_tiles / a_tiles % d.middle, outer = i / b_tiles / a_tiles / d.middle;
    for (int k = line; k < tile; k += tile_lines) {
      const int64_t a = first_a + k, b = first_b + column;
      if (a < d.a && b < d.b) words[k][column] = x[((outer * d.a + a) * d.middle + m) * d.b + b];
    }
    __syncthreads();
    for (int k = line; k < tile; k += tile_lines) {
      const int64_t a = first_a + column, b = first_b + k;
      if (a < d.a && b < d.b) y[((outer * d.b + b) * d.middle + m) * d.a + a] = words[column][k];
    }
    __syncthreads();
  }
}

template <class Word>
void transpose_words(const std::byte* from, std::byte* to, TransposeDims d) {
  const int64_t bytes = d.outer * d.a * d.middle * d.b * d.inner;
  const Word* x = reinterpret_cast<const Word*>(from);
  Word* y = reinterpret_cast<Word*>(to);
  d.inner /= int64_t(sizeof(Word));
  if (bytes == 0) return;
  if (d.inner > 1) {
    launch(transpose_naive<Word>, {grid_for(bytes / int64_t(sizeof(Word))), block_threads}, x, y, d);
    return;
  }
  const int64_t a_tiles = (d.a + tile - 1) / tile, b_tiles = (d.b + tile - 1) / tile;
  const int64_t blocks = std::min<int64_t>(d.outer * d.middle * a_tiles * b_tiles, 1 << 16);
  launch(transpose_tiled<Word>, {dim3(unsigned(blocks)), dim3(tile, tile_lines)}, x, y, d, a_tiles, b_tiles);
}

// Calls f.operator()<Word>() with the largest word that divides the bits.
template <class F>
void with_word(uint64_t bits, F&& f) {
  if (bits % 16 == 0)
    f.template operator()<uint4>();
  else if (bits % 8 == 0)
    f.template operator()<uint2>();
  else if (bits % 4 == 0)
    f.template operator()<uint32_t>();
  else if (bits % 2 == 0)
    f.template operator()<uint16_t>();
  else
    f.template operator()<uint8_t>();
}

}  // namespace

template <class From, class To>
void cast(const From* x, To* y, int64_t n) {
  constexpr int size = cast_pack_size<From, To>;
  const int64_t packs = n / size, packed = packs * size;
  launch(cast_packed<From, To>, {grid_for(packs), block_threads}, x, y, packs);
  launch(cast_naive<From, To>, {grid_for(n - packed), block_threads}, x + packed, y + packed, n - packed);
}

void copy_rows(std::byte* to, int64_t to_step, const std::byte* from, int64_t from_step, int64_t bytes,
               int64_t rows) {
  if (to_step == bytes && from_step == bytes) {  // one contiguous run
    bytes *= rows;
    rows = 1;
    to_step = from_step = bytes;
  }
  // The bits of all addresses and sizes.
  const uint64_t bits = reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from) |
                        uint64_t(to_step | from_step | bytes);
  with_word(bits, [&]<class Word>() { copy_words<Word>(to, to_step, from, from_step, bytes, rows); });
}

void transpose(const std::byte* x, std::byte* y, const TransposeDims& d) {
  const uint64_t bits = reinterpret_cast<uintptr_t>(x) | reinterpret_cast<uintptr_t>(y) | uint64_t(d.inner);
  with_word(bits, [&]<class Word>() { transpose_words<Word>(x, y, d); });
}

#define INSTANTIATE(From, To) template void cast<From, To>(const From*, To*, int64_t);
#define FOR_EACH_DTYPE(From)  \
  INSTANTIATE(From, float)    \
  INSTANTIATE(From, double)   \
  INSTANTIATE(From, bfloat16) \
  INSTANTIATE(From, int32_t)  \
  INSTANTIATE(From, int64_t)  \
  INSTANTIATE(From, uint8_t)
FOR_EACH_DTYPE(float)
FOR_EACH_DTYPE(double)
FOR_EACH_DTYPE(bfloat16)
FOR_EACH_DTYPE(int32_t)
FOR_EACH_DTYPE(int64_t)
FOR_EACH_DTYPE(uint8_t)

}  // namespace fovea::cuda
