#pragma once
#include <cstdint>

#include "cuda/kernels/window.h"

namespace fovea {

// How one input of a BiFPN node comes to the node's size (EfficientDet, arXiv 1911.09070, section 3.3): as it
// is, by max pooling from a finer level, or by nearest-neighbour upsampling from a coarser one.
enum class Resample { same, pool, upsample };

struct ResampleDims {
  Resample kind = Resample::same;
  int64_t in_height = 0, in_width = 0, out_height = 0, out_width = 0, channels = 0;

  // A level is pooled by kernel = stride + 1, stride = the ratio of the sizes rounded up, with SAME padding.
  Window vertical() const { return window(in_height, out_height); }
  Window horizontal() const { return window(in_width, out_width); }

  // Output row i of nearest upsampling shows input row floor(i * in / out); input row j fills [first(j),
  // first(j + 1)).
  static int64_t source(int64_t i, int64_t in, int64_t out) { return i * in / out; }
  static int64_t first(int64_t j, int64_t in, int64_t out) { return (j * out + in - 1) / in; }

 private:
  static Window window(int64_t in, int64_t out) {
    const int stride = int((in - 1) / out + 1);
    return {stride + 1, stride, Padding::same};
  }
};

}  // namespace fovea
