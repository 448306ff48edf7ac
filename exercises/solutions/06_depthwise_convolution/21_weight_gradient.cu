// Exercise 21: the gradient of the filter
#pragma once
#include <fovea/cuda/device/last_block.h>
#include <fovea/cuda/platform.h>

#include "depthwise_sizes.h"

namespace {

__global__ void weight_gradient(const float* x, const float* dy, DepthwiseSizes s, float* partial,
                                unsigned* ticket, float* dw) {
  const int channel = int(threadIdx.x);
  float sum[9] = {};  // sum[3 a + b]
  for (int r = int(blockIdx.x); r < s.batch * s.out_height; r += int(gridDim.x)) {
    const int image = r / s.out_height,
              top = r % s.out_height * s.stride - s.pad_y;  // the window's first row
    for (int j = 0; j < s.out_width; ++j) {
      const int left = j * s.stride - s.pad_x;                           // the window's first column
      const float d = dy[(r * s.out_width + j) * s.channels + channel];  // r counts the rows of all images
      for (int a = 0; a < 3; ++a)
        for (int b = 0; b < 3; ++b) {
          const int row = top + a, column = left + b;
          if (row < 0 || row >= s.height || column < 0 || column >= s.width) continue;
          sum[3 * a + b] += d * x[((image * s.height + row) * s.width + column) * s.channels + channel];
        }
    }
  }
  for (int tap = 0; tap < 9; ++tap) partial[(int(blockIdx.x) * 9 + tap) * s.channels + channel] = sum[tap];
  if (!fovea::is_last_block(ticket, gridDim.x)) return;
  for (int tap = 0; tap < 9; ++tap) {
    float all = 0;  // its own sums too come from `partial`, in their turn
    for (int block = 0; block < int(gridDim.x); ++block)
      all += partial[(block * 9 + tap) * s.channels + channel];
    dw[tap * s.channels + channel] = all;
  }
}

}  // namespace
