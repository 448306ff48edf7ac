// Exercise 54: the case of the large batch
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

constexpr Fault fault = Fault::index_overflow;
constexpr Line line{'b'};
constexpr int first_image = 218;  // 2^31 / (640 * 640 * 24) is 218.45

// The same kernel, fixed for as many images as an int can count.
__global__ void fixed(const int* picked, int64_t count, int height, int width, int channels,
                      int64_t* offsets) {
  for (int64_t i : fovea::grid_stride(count)) {
    const int image = picked[4 * i], row = picked[4 * i + 1], column = picked[4 * i + 2],
              channel = picked[4 * i + 3];
    // One factor of 64 bits makes all that follow from it 64 bits wide.
    const int64_t pixel = (int64_t(image) * height + row) * width + column;
    const int64_t offset = pixel * channels + channel;
    offsets[i] = offset;
  }
}

}  // namespace
