// Exercise 21: the gradient of the filter
//
// Goal:      dw of a depthwise convolution: sums over all images and pixels, with the same bits each time.
// Builds on: 14, 18
// Minutes:   40
// Source:    ops/depthwise_conv2d.h; cuda/kernels/depthwise_weight_gradient.cu
#pragma once
#include <fovea/cuda/device/last_block.h>
#include <fovea/cuda/platform.h>

#include "depthwise_sizes.h"  // the names of the sizes: read it first

namespace {

// For a 3 x 3 filter, with the forward pass of exercise 18,
//   dw[a, b, c] = sum over n, i, j of dy[n, i, j, c] x[n, i stride + a - pad_y, j stride + b - pad_x, c].
// There are only 9 sums for each channel, each over all pixels of all images. One thread for each sum would
// be too few threads, so the blocks share the rows of dy: block 0 has the rows 0, gridDim.x, 2 gridDim.x ...
// of all images, and so on. A block has one thread for each channel, which keeps its 9 sums in registers.
//
// partial (blocks, 3, 3, channels) takes the sums of each block. The last block to finish, as in exercise 14,
// adds them up: the order of the additions must not depend on which block that is.
__global__ void weight_gradient(const float* x, const float* dy, DepthwiseSizes s, float* partial,
                                unsigned* ticket, float* dw) {
  const int channel = int(threadIdx.x);
  float sum[9] = {};  // sum[3 a + b]
  for (int r = int(blockIdx.x); r < s.batch * s.out_height; r += int(gridDim.x)) {
    const int image = r / s.out_height,
              top = r % s.out_height * s.stride - s.pad_y;  // the window's first row
    for (int j = 0; j < s.out_width; ++j) {
      const int left = j * s.stride - s.pad_x;  // the window's first column
      // ---- your code: 6 to 10 lines ----
      // Read dy at row r and column j once, and add its nine products with x to the sums.
      (void)x, (void)dy, (void)image, (void)top, (void)left;
      // ---- end ----
    }
  }
  for (int tap = 0; tap < 9; ++tap) partial[(int(blockIdx.x) * 9 + tap) * s.channels + channel] = sum[tap];
  if (!fovea::is_last_block(ticket, gridDim.x)) return;
  for (int tap = 0; tap < 9; ++tap) {
    // ---- your code: 3 to 5 lines ----
    dw[tap * s.channels + channel] = sum[tap];
    // ---- end ----
  }
}

}  // namespace
