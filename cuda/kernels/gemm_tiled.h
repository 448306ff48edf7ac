#pragma once
#include <cstddef>
#include <cstdint>

#include "cuda/device/output_epilogue.h"

namespace fovea::cuda {

// c (rows x columns) = a (rows x inner) * b (inner x columns) + bias (columns), unless bias is null, followed
// by the epilogue. With `turned` it uses b^T, with b (columns x inner); then there is no bias and no
// epilogue, and with `add`, c += that. All matrices are row-major and dense and begin at a multiple of 16
// bytes; sums are in float, and rounded once. T: bfloat16.
template <class T>
struct TiledGemm {
  int rows = 0, columns = 0, inner = 0;
  const T *a = nullptr, *b = nullptr, *bias = nullptr;
  T* c = nullptr;
  bool turned = false;
  OutputEpilogue epilogue = {};
};

// How such a product is cut: a block has 32 `pairs` of the columns, and a chunk of the rows, in tiles that
// are `chunks` apart.
struct GemmTiles {
  int pairs = 0;  // 0: this kernel does not support the sizes
  int column_tiles = 0, chunks = 0, row_tiles = 0;
  size_t shared_bytes = 0;
  // Depends only on the sizes, and so do the bits of the chunks' statistics.
  static GemmTiles of(int64_t rows, int64_t columns, int64_t inner);
};

// Whether gemm() and gemm_nt() (gemm.h) leave a product to this kernel.
bool prefers_tiles(int64_t rows, int64_t columns, int64_t inner);

// Throws CudaError if GemmTiles::of() has no pairs. It runs on the current stream. The epilogue's statistics
// have GemmTiles::chunks chunks.
template <class T>
void gemm_tiled(const TiledGemm<T>& product);

}  // namespace fovea::cuda
