// Exercise 19: a window that slides along a row
//
// Goal:      A 3 x 3 depthwise convolution that reads each pixel once for each row of outputs it belongs to.
// Builds on: 9, 18
// Minutes:   35
// Source:    cuda/kernels/depthwise_conv2d.cu: its tiled kernels walk down the rows in the same way
#pragma once
#include <fovea/cuda/platform.h>

namespace {

// x and y are (batch, height, width, channels), w is (3, 3, channels). Stride 1 and "SAME" padding: the
// window of output (row, column) covers the rows row - 1 to row + 1 and the columns column - 1 to column + 1,
// with zeros outside of the image.
//
// Launched with blocks of 32 threads, one for each channel, and batch * height of them along y. A thread
// computes one row of outputs of its channel, so that neighbouring threads read neighbouring numbers. What
// stands here is right, but it reads nine pixels and nine weights for each output. When the window moves on
// by one column, six of its nine pixels are the same. Keep the weights and the window in variables, and read
// only the three new pixels.
__global__ void depthwise_rows(const float* x, const float* w, float* y, int height, int width,
                               int channels) {
  const int channel = int(blockIdx.x * blockDim.x + threadIdx.x), row = int(blockIdx.y) % height;
  if (channel >= channels) return;
  const float* image = x + int(blockIdx.y) / height * height * width * channels + channel;
  float* out = y + int(blockIdx.y) * width * channels + channel;  // this row's output at column 0
  // The thread's channel of a pixel of the image, 0 outside of it.
  const auto pixel = [&](int r, int c) {
    return r >= 0 && r < height && c >= 0 && c < width ? image[(r * width + c) * channels] : 0.0f;
  };
  // ---- your code: 10 to 15 lines ----
  for (int column = 0; column < width; ++column) {
    float sum = 0;
    for (int a = 0; a < 3; ++a)
      for (int b = 0; b < 3; ++b)
        sum += pixel(row - 1 + a, column - 1 + b) * w[(a * 3 + b) * channels + channel];
    out[column * channels] = sum;
  }
  // ---- end ----
}

}  // namespace
