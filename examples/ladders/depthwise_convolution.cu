// Ladder: depthwise convolution of one image, 3 x 3, stride 1, zeros around it, in float.
#include "cuda/device/grid.h"
#include "cuda/device/output_epilogue.h"
#include "cuda/kernels/depthwise_conv2d.h"
#include "cuda/runtime/launch.h"
#include "examples/ladders/ladder.h"

using namespace fovea;

namespace {

constexpr int height = 16, width = 16, channels = 32, outputs = height * width * channels;

__device__ inline bool inside(int row, int column) {
  return row >= 0 && row < height && column >= 0 && column < width;
}

// A thread has one output. Its number runs over the columns, then the rows, then the channels.
__global__ void by_definition(const float* x, const float* w, float* y) {
  for (int64_t i : grid_stride(outputs)) {
    const int column = int(i) % width, row = int(i) / width % height, channel = int(i) / width / height;
    float sum = 0;
    for (int a = 0; a < 3; ++a)
      for (int b = 0; b < 3; ++b)
        if (inside(row + a - 1, column + b - 1))
          sum += x[((row + a - 1) * width + column + b - 1) * channels + channel] *
                 w[(a * 3 + b) * channels + channel];
    y[(row * width + column) * channels + channel] = sum;
  }
}

// Neighbouring threads have neighbouring channels.
__global__ void channels_innermost(const float* x, const float* w, float* y) {
  for (int64_t i : grid_stride(outputs)) {
    const int channel = int(i) % channels, column = int(i) / channels % width,
              row = int(i) / channels / width;
    float sum = 0;
    for (int a = 0; a < 3; ++a)
      for (int b = 0; b < 3; ++b)
        if (inside(row + a - 1, column + b - 1))
          sum += x[((row + a - 1) * width + column + b - 1) * channels + channel] *
                 w[(a * 3 + b) * channels + channel];
    y[(row * width + column) * channels + channel] = sum;
  }
}

constexpr int band = 8;  // rows of a block's outputs

// A thread walks down its column of a band and adds each number to the three outputs that it belongs to.
__global__ void walk_down(const float* x, const float* w, float* y) {
  const int channel = int(threadIdx.x), column = int(threadIdx.y), first = int(blockIdx.x) * band;
  float filter[9], sum[band] = {};
  UNROLL for (int tap = 0; tap < 9; ++tap) filter[tap] = w[tap * channels + channel];
  UNROLL for (int i = -1; i <= band; ++i) {
    UNROLL for (int b = 0; b < 3; ++b) {
      if (!inside(first + i, column + b - 1)) continue;
      const float number = x[((first + i) * width + column + b - 1) * channels + channel];
      UNROLL for (int a = 0; a < 3; ++a) {
        if (i + 1 - a >= 0 && i + 1 - a < band) sum[i + 1 - a] += number * filter[a * 3 + b];
      }
    }
  }
  UNROLL for (int i = 0; i < band; ++i) y[((first + i) * width + column) * channels + channel] = sum[i];
}

// The block first copies its band, with the border of zeros around it, to shared memory.
__global__ void from_a_tile(const float* x, const float* w, float* y) {
  __shared__ float tile[band + 2][width + 2][channels];
  const int channel = int(threadIdx.x), column = int(threadIdx.y), first = int(blockIdx.x) * band;
  for (int i = 0; i < band + 2; ++i)
    for (int j = column; j < width + 2; j += width) {
      float number = 0;
      if (inside(first + i - 1, j - 1)) number = x[((first + i - 1) * width + j - 1) * channels + channel];
      tile[i][j][channel] = number;
    }
  __syncthreads();
  float filter[9], sum[band] = {};
  UNROLL for (int tap = 0; tap < 9; ++tap) filter[tap] = w[tap * channels + channel];
  UNROLL for (int i = -1; i <= band; ++i) {
    UNROLL for (int b = 0; b < 3; ++b) {
      const float number = tile[i + 1][column + b][channel];
      UNROLL for (int a = 0; a < 3; ++a) {
        if (i + 1 - a >= 0 && i + 1 - a < band) sum[i + 1 - a] += number * filter[a * 3 + b];
      }
    }
  }
  UNROLL for (int i = 0; i < band; ++i) y[((first + i) * width + column) * channels + channel] = sum[i];
}

}  // namespace

int main(int argc, char** argv) {
  const ladders::Array<float> x("x", ladders::numbers(outputs)), w("w", ladders::numbers(9 * channels)),
      y("y", outputs);
  const DepthwiseConv2dDims dims(1, channels, {3, 1, Padding::same}, {{{height, width}}});
  const std::string here = "examples/ladders/depthwise_convolution.cu";
  const auto launched = [&](auto kernel, dim3 grid, dim3 block) {
    return [=, &x, &w, &y] { cuda::launch(kernel, {grid, block}, x.data(), w.data(), y.data()); };
  };
  return ladders::run(
      {.title = "Depthwise convolution, 3 x 3",
       .inputs = {{"x", x.data()}, {"w", w.data()}},
       .least_bytes = double(x.bytes() + w.bytes() + y.bytes()),
       .clear = [&] { cuda::fill_bytes(y.data(), 0xFF, y.bytes()); },
       .result = [&] { return y.values(); },
       .rungs = {{"1 the definition", {{here, {"void by_definition("}}}, launched(by_definition, 32, 256)},
                 {"2 channels innermost",
                  {{here, {"void channels_innermost("}}},
                  launched(channels_innermost, 32, 256)},
                 {"3 a thread walks down",
                  {{here, {"void walk_down("}}},
                  launched(walk_down, height / band, {channels, width})},
                 {"4 a tile in shared memory",
                  {{here, {"void from_a_tile("}}},
                  launched(from_a_tile, height / band, {channels, width})},
                 {"5 the kernel in use",
                  {{"cuda/kernels/depthwise_conv2d.cu", {"inline void correlate("}},
                   {"cuda/device/depthwise_tiles.h", {"struct TilePlace", "inline void fetch("}}},
                  [&] { cuda::depthwise_conv2d(x.data(), w.data(), y.data(), dims, {}); }}}},
      argc, argv);
}
