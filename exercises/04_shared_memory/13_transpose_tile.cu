// Exercise 13: transpose by tiles
//
// Goal:      A transpose that reads and writes along rows, through shared memory without bank conflicts.
// Builds on: 3, 12
// Minutes:   35
// Source:    G. Ruetsch, P. Micikevicius, Optimizing Matrix Transpose in CUDA (NVIDIA, 2009);
//            transpose_tiled in cuda/kernels/shape_ops.cu
#pragma once
#include <fovea/cuda/platform.h>

namespace {

constexpr int tile = 32;

// x: rows x columns; y: columns x rows, y[c][r] = x[r][c], both row-major. Launched with blocks of 32 x 32
// threads, as many across (x) and down (y) as cover x's matrix: this thread starts from row blockIdx.y * 32 +
// threadIdx.y and column blockIdx.x * 32 + threadIdx.x. The last tiles stick out beyond the matrix.
//
// The naive line below reads 32 neighbours a warp, and writes 32 numbers that lie `rows` apart, each to a
// sector of its own. Instead the block reads its tile of x to shared memory, and then each warp writes a row
// of y, which is a column of the tile: its threads take other numbers than those that they read.
//
// Shared memory has 32 banks, and number i of an array of floats lies in bank i % 32. A column of a 32 x 32
// tile lies in one bank: 32 reads, one after another. How wide must the tile's rows be, so that a column
// touches all banks?
__global__ void transpose(const float* x, float* y, int rows, int columns) {
  // ---- your code: 9 to 13 lines ----
  const int row = int(blockIdx.y) * tile + int(threadIdx.y),
            column = int(blockIdx.x) * tile + int(threadIdx.x);
  if (row < rows && column < columns) y[column * rows + row] = x[row * columns + column];
  // ---- end ----
}

}  // namespace
