// Exercise 20: the gradient of the image
//
// Goal:      dx of a depthwise convolution: each thread collects what its pixel receives.
// Builds on: 9, 18
// Minutes:   35
// Source:    ops/depthwise_conv2d.h; the kernel input_gradient_naive in cuda/kernels/depthwise_conv2d.cu
#pragma once
#include <cstdint>

#include <fovea/cuda/device/grid.h>
#include <fovea/cuda/platform.h>

#include "depthwise_sizes.h"  // the names of the sizes: read it first

namespace {

// The forward pass is, with a and b from 0 to kernel - 1,
//   y[n, i, j, c] = sum over a, b of x[n, i stride + a - pad_y, j stride + b - pad_x, c] w[a, b, c].
// Given dy = d(loss)/dy, (batch, out_height, out_width, channels), compute dx = d(loss)/dx for each pixel.
//
// One could go through the outputs, and add dy[n, i, j, c] w[a, b, c] to each pixel of their windows. But
// windows overlap, and two threads that add to one pixel are a race. Ask the reverse question: which outputs
// (i, j) does the pixel (row, column) reach through the weight (a, b)? Those with
//   i stride + a - pad_y = row    and    j stride + b - pad_x = column.
// That is at most one output. There is none if i or j is not a whole number, or lies outside of y.
__global__ void input_gradient(const float* w, const float* dy, float* dx, DepthwiseSizes s, int64_t n) {
  for (int64_t index : fovea::grid_stride(n)) {
    const int channel = int(index % s.channels), pixel = int(index / s.channels);
    const int column = pixel % s.width, row = pixel / s.width % s.height, image = pixel / s.width / s.height;
    float sum = 0;
    // ---- your code: 7 to 11 lines ----
    (void)w, (void)dy, (void)channel, (void)column, (void)row, (void)image;
    // ---- end ----
    dx[index] = sum;
  }
}

}  // namespace
