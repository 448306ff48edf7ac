#pragma once
#include <cstdint>

#include "cuda/kernels/window.h"

namespace fovea {

struct Conv2dDims {
  int64_t batch = 0, in_height = 0, in_width = 0, in_channels = 0, out_channels = 0;
  Window window;

  int64_t out_height() const { return window.output_size(in_height); }
  int64_t out_width() const { return window.output_size(in_width); }
  int64_t in_row() const { return in_width * in_channels; }
  int64_t out_row() const { return out_width() * out_channels; }
  int64_t taps() const {
    return window.kernel * in_channels;
  }  // of one filter row: contiguous in the image too
};

}  // namespace fovea
