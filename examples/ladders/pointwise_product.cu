// Ladder: the product of a 1x1 convolution, c = a b with many rows and few columns, in bfloat16.
#include "cuda/device/grid.h"
#include "cuda/kernels/gemm_tiled.h"
#include "cuda/runtime/launch.h"
#include "examples/ladders/ladder.h"

using namespace fovea;

namespace {

constexpr int rows = 256, columns = 64, inner = 32;  // a is (rows, inner), b (inner, columns)

// A thread has one number of c.
__global__ void by_definition(const bfloat16* a, const bfloat16* b, bfloat16* c) {
  for (int64_t i : grid_stride(rows * columns)) {
    const int row = int(i) / columns, column = int(i) % columns;
    float sum = 0;
    for (int k = 0; k < inner; ++k) sum += float(a[row * inner + k]) * float(b[k * columns + column]);
    c[i] = bfloat16(sum);
  }
}

constexpr int side = 16;  // of a block of threads

// The block copies 16 columns of its rows of a, and 16 rows of its columns of b, to shared memory.
__global__ void from_tiles(const bfloat16* a, const bfloat16* b, bfloat16* c) {
  __shared__ float of_a[side][side], of_b[side][side];
  const int x = int(threadIdx.x), y = int(threadIdx.y);
  const int row = int(blockIdx.y) * side + y, column = int(blockIdx.x) * side + x;
  float sum = 0;
  for (int begin = 0; begin < inner; begin += side) {
    of_a[y][x] = float(a[row * inner + begin + x]);
    of_b[y][x] = float(b[(begin + y) * columns + column]);
    __syncthreads();
    for (int k = 0; k < side; ++k) sum += of_a[y][k] * of_b[k][x];
    __syncthreads();
  }
  c[row * columns + column] = bfloat16(sum);
}

constexpr int each = 4, tile = side * each;  // a thread's rows and columns of c; a block's

// A thread has 4 x 4 neighbouring numbers of c, and uses each number that it loads four times.
__global__ void several_outputs(const bfloat16* a, const bfloat16* b, bfloat16* c) {
  __shared__ float of_a[tile][side], of_b[side][tile];
  const int x = int(threadIdx.x), y = int(threadIdx.y);
  const int row = int(blockIdx.y) * tile, column = int(blockIdx.x) * tile;
  float sum[each][each] = {};
  for (int begin = 0; begin < inner; begin += side) {
    for (int i = 0; i < each; ++i) {
      of_a[y + i * side][x] = float(a[(row + y + i * side) * inner + begin + x]);
      of_b[y][x + i * side] = float(b[(begin + y) * columns + column + x + i * side]);
    }
    __syncthreads();
    for (int k = 0; k < side; ++k) {
      float left[each], right[each];
      UNROLL for (int i = 0; i < each; ++i) left[i] = of_a[y * each + i][k];
      UNROLL for (int j = 0; j < each; ++j) right[j] = of_b[k][x * each + j];
      UNROLL for (int i = 0; i < each; ++i) {
        UNROLL for (int j = 0; j < each; ++j) sum[i][j] += left[i] * right[j];
      }
    }
    __syncthreads();
  }
  UNROLL for (int i = 0; i < each; ++i) {
    UNROLL for (int j = 0; j < each; ++j) {
      c[(row + y * each + i) * columns + column + x * each + j] = bfloat16(sum[i][j]);
    }
  }
}

// The numbers of a thread are 16 rows and columns apart, so those of a warp are neighbours.
__global__ void without_conflicts(const bfloat16* a, const bfloat16* b, bfloat16* c) {
  __shared__ float of_a[tile][side], of_b[side][tile];
  const int x = int(threadIdx.x), y = int(threadIdx.y);
  const int row = int(blockIdx.y) * tile, column = int(blockIdx.x) * tile;
  float sum[each][each] = {};
  for (int begin = 0; begin < inner; begin += side) {
    for (int i = 0; i < each; ++i) {
      of_a[y + i * side][x] = float(a[(row + y + i * side) * inner + begin + x]);
      of_b[y][x + i * side] = float(b[(begin + y) * columns + column + x + i * side]);
    }
    __syncthreads();
    for (int k = 0; k < side; ++k) {
      float left[each], right[each];
      UNROLL for (int i = 0; i < each; ++i) left[i] = of_a[y + i * side][k];
      UNROLL for (int j = 0; j < each; ++j) right[j] = of_b[k][x + j * side];
      UNROLL for (int i = 0; i < each; ++i) {
        UNROLL for (int j = 0; j < each; ++j) sum[i][j] += left[i] * right[j];
      }
    }
    __syncthreads();
  }
  UNROLL for (int i = 0; i < each; ++i) {
    UNROLL for (int j = 0; j < each; ++j) {
      c[(row + y + i * side) * columns + column + x + j * side] = bfloat16(sum[i][j]);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const ladders::Array<bfloat16> a("a", ladders::numbers<bfloat16>(rows * inner)),
      b("b", ladders::numbers<bfloat16>(inner * columns)), c("c", rows * columns);
  const std::string here = "examples/ladders/pointwise_product.cu";
  const auto launched = [&](auto kernel, dim3 grid, dim3 block) {
    return [=, &a, &b, &c] { cuda::launch(kernel, {grid, block}, a.data(), b.data(), c.data()); };
  };
  return ladders::run(
      {.title = "The product of a 1x1 convolution",
       .inputs = {{"a", a.data()}, {"b", b.data()}},
       .least_bytes = double(a.bytes() + b.bytes() + c.bytes()),
       .clear = [&] { cuda::fill_bytes(c.data(), 0xFF, c.bytes()); },
       .result = [&] { return c.values(); },
       .tolerance = 1.0 / 256,  // a bfloat16 has 8 significant bits
       .rungs = {{"1 the definition",
                  {{here, {"void by_definition("}}},
                  launched(by_definition, rows * columns / block_threads, block_threads)},
                 {"2 tiles in shared memory",
                  {{here, {"void from_tiles("}}},
                  launched(from_tiles, {columns / side, rows / side}, {side, side})},
                 {"3 4 x 4 outputs a thread",
                  {{here, {"void several_outputs("}}},
                  launched(several_outputs, {columns / tile, rows / tile}, {side, side})},
                 {"4 without bank conflicts",
                  {{here, {"void without_conflicts("}}},
                  launched(without_conflicts, {columns / tile, rows / tile}, {side, side})},
                 {"5 the kernel in use",
                  {{"cuda/kernels/gemm_tiled.cu",
                    {"struct SharedLayout", "inline int place_of(", "product_tiled(TiledGemm<bfloat16> p"}}},
                  [&] {
                    cuda::gemm_tiled<bfloat16>({.rows = rows,
                                                .columns = columns,
                                                .inner = inner,
                                                .a = a.data(),
                                                .b = b.data(),
                                                .c = c.data()});
                  }}}},
      argc, argv);
}
