// Exercise 54: the case of the large batch
//
// Goal:      Find why a kernel is right for small batches only, and fix it.
// Builds on: 1, 9
// Minutes:   20
// Source:    ISO C++20, [expr.pre] (overflow); ops/depthwise_conv2d.cpp refuses images whose numbers have
//            no index of 32 bits
#pragma once
#include <cstdint>

#include <fovea/cuda/device/grid.h>
#include <fovea/cuda/platform.h>

#include "detective.h"

namespace {

// Where in memory are some picked numbers of images (batch, height, width, channels)? picked is (count, 4):
// image, row, column and channel of each. offsets[i] becomes the index of the i-th, counted in numbers.
//
// The symptom: for images of 640 x 640 pixels with 24 channels it is right for batches of up to 128. In a
// batch of 256, a kernel that reads at these offsets crashes.
//
// Do not edit this kernel: the check runs it.
__global__ void broken(const int* picked, int64_t count, int height, int width, int channels,
                       int64_t* offsets) {
  for (int64_t i : fovea::grid_stride(count)) {
    const int image = picked[4 * i], row = picked[4 * i + 1], column = picked[4 * i + 2],
              channel = picked[4 * i + 3];
    const int pixel = (image * height + row) * width + column;  // a
    const int64_t offset = pixel * channels + channel;          // b
    offsets[i] = offset;                                        // c
  }
}

// ---- your code: 3 lines ----
constexpr Fault fault = Fault::unknown;
constexpr Line line{'?'};        // the line whose result is wrong first
constexpr int first_image = -1;  // the lowest, from 0, that has a wrong offset, if images are as above
// ---- end ----

// The same kernel: fix it, for as many images as an int can count.
__global__ void fixed(const int* picked, int64_t count, int height, int width, int channels,
                      int64_t* offsets) {
  for (int64_t i : fovea::grid_stride(count)) {
    const int image = picked[4 * i], row = picked[4 * i + 1], column = picked[4 * i + 2],
              channel = picked[4 * i + 3];
    // ---- your code: 2 to 4 lines ----
    const int pixel = (image * height + row) * width + column;
    const int64_t offset = pixel * channels + channel;
    // ---- end ----
    offsets[i] = offset;
  }
}

}  // namespace
