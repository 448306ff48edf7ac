// Exercise 20: the gradient of the image
#pragma once
#include <cstdint>

#include <fovea/cuda/device/grid.h>
#include <fovea/cuda/platform.h>

#include "depthwise_sizes.h"

namespace {

__global__ void input_gradient(const float* w, const float* dy, float* dx, DepthwiseSizes s, int64_t n) {
  for (int64_t index : fovea::grid_stride(n)) {
    const int channel = int(index % s.channels), pixel = int(index / s.channels);
    const int column = pixel % s.width, row = pixel / s.width % s.height, image = pixel / s.width / s.height;
    float sum = 0;
    for (int a = 0; a < s.kernel; ++a)
      for (int b = 0; b < s.kernel; ++b) {
        const int down = row + s.pad_y - a, across = column + s.pad_x - b;  // i stride and j stride
        // Before the divisions, which would round -1 / 2 to 0.
        if (down < 0 || across < 0 || down % s.stride != 0 || across % s.stride != 0) continue;
        const int i = down / s.stride, j = across / s.stride;
        if (i >= s.out_height || j >= s.out_width) continue;
        sum += dy[((image * s.out_height + i) * s.out_width + j) * s.channels + channel] *
               w[(a * s.kernel + b) * s.channels + channel];
      }
    dx[index] = sum;
  }
}

}  // namespace
