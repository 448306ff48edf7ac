#pragma once
#include <cstdint>

#include "cuda/kernels/window.h"

namespace fovea {

struct DepthwiseConv2dDims {
  int64_t batch = 0, in_height = 0, in_width = 0, channels = 0;
  Window window;

  int64_t out_height() const { return window.output_size(in_height); }
  int64_t out_width() const { return window.output_size(in_width); }
  int64_t in_row() const { return in_width * channels; }
  int64_t out_row() const { return out_width() * channels; }
};

}  // namespace fovea
