#pragma once
#include <cstdint>

#include "cuda/device/bfloat16.h"
#include "cuda/device/host_device.h"
#include "cuda/kernels/pyramid.h"
#include "cuda/kernels/window.h"

namespace fovea {

struct OutputEpilogue;  // cuda/device/output_epilogue.h

// A level's feature map in each image of a tensor (N, P, C).
struct FeatureMap {
  int height = 0, width = 0;
  int first = 0, image = 0;  // pixels of an image: before this level, and of all levels

  // The number of one of its pixels among those of all images.
  FOVEA_HOST_DEVICE int64_t pixel(int64_t n, int64_t row, int64_t column = 0) const {
    return n * image + first + row * width + column;
  }
};

// One level: its input and its output.
struct DepthwiseLevel {
  FeatureMap in, out;
  int pad_y = 0, pad_x = 0;  // zeros before the first row and column
};

// The sizes of a depthwise convolution and what follows from them: a table without pointers, which kernels
// take as an argument, in 32 bits, because index arithmetic is a good part of their work.
struct DepthwiseConv2dDims {
  int64_t batch = 0;
  int channels = 0, kernel = 3, stride = 1;
  int levels = 0;  // one if x is (N, H, W, C)
  DepthwiseLevel level[PyramidShape::max_levels] = {};

  // Throws nothing: the ops have checked the sizes.
  DepthwiseConv2dDims(int64_t batch_, int64_t channels_, const Window& window, const PyramidShape& shape)
      : batch(batch_), channels(int(channels_)), kernel(window.kernel), stride(window.stride) {
    int in = 0, out = 0;
    for (const ImageSize& size : shape.levels) {
      DepthwiseLevel& l = level[levels++];
      l.in = {int(size.height), int(size.width), in};
      l.out = {int(window.output_size(size.height)), int(window.output_size(size.width)), out};
      l.pad_y = int(window.pad_before(size.height));
      l.pad_x = int(window.pad_before(size.width));
      in += l.in.height * l.in.width;
      out += l.out.height * l.out.width;
    }
    for (DepthwiseLevel& l : level) l.in.image = in, l.out.image = out;
  }
};

namespace cuda {

// y[n,i,j,c] = sum_{a,b} x[n, i s + a - p, j s + b - p, c] w[a,b,c], in each level of an image. x (N, P, C),
// w (k, k, C), rounded to T, y (N, P', C); any window, with fast kernels for k 3 and 5 and stride 1 and 2. T:
// float, double, bfloat16. One launch serves all levels, also for the gradients. Only the fast kernels
// support an epilogue that is not empty.
template <class T>
void depthwise_conv2d(const T* x, const Accumulator<T>* w, T* y, const DepthwiseConv2dDims& dims,
                      const OutputEpilogue& epilogue);
// The chunks of the statistics that an epilogue may request; 0 if it supports no epilogue.
template <class T>
int64_t depthwise_conv2d_chunks(const DepthwiseConv2dDims& dims);
// dx (N, P, C) is written whole, including pixels that are in no window.
template <class T>
void depthwise_conv2d_input_gradient(const Accumulator<T>* w, const T* dy, T* dx,
                                     const DepthwiseConv2dDims& dims);
// dw (k, k, C), summed over images and levels, is written whole. Sums run in Accumulator<T>, in a fixed
// order.
template <class T>
void depthwise_conv2d_weight_gradient(const T* x, const T* dy, Accumulator<T>* dw,
                                      const DepthwiseConv2dDims& dims);

}  // namespace cuda
}  // namespace fovea
