// Exercise 19: a window that slides along a row
#pragma once
#include <fovea/cuda/platform.h>

namespace {

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
  float filter[3][3], window[3][3] = {};  // the columns of the window: the one before, this one, the next
  for (int a = 0; a < 3; ++a)
    for (int b = 0; b < 3; ++b) filter[a][b] = w[(a * 3 + b) * channels + channel];
  for (int a = 0; a < 3; ++a) window[a][2] = pixel(row - 1 + a, 0);
  for (int column = 0; column < width; ++column) {
    float sum = 0;
    for (int a = 0; a < 3; ++a) {
      // The indices are constants once the loops are unrolled, so nvcc keeps the window in registers.
      window[a][0] = window[a][1];
      window[a][1] = window[a][2];
      window[a][2] = pixel(row - 1 + a, column + 1);
      for (int b = 0; b < 3; ++b) sum += window[a][b] * filter[a][b];
    }
    out[column * channels] = sum;
  }
}

}  // namespace
