#pragma once
#include "core/error.h"
#include "core/tensor.h"

namespace fovea {

// Throws if x, channels last, has another number of channels than the parameter w takes. The usual cause is
// an image in NCHW, PyTorch's layout.
inline void require_channels(const char* op, const Tensor& x, const char* w, const Shape& w_shape,
                             int64_t takes) {
  if (x.rank() == 0 || x.size(-1) == takes) return;
  const bool channels_first = x.rank() == 4 && x.size(1) == takes;
  fail("[{}] x {} has {} {}, {} {} takes {}{}", op, x.shape(), x.size(-1),
       x.rank() == 4 ? "channels" : "columns", w, w_shape, takes,
       channels_first ? ": images are (N, H, W, C)" : "");
}

}  // namespace fovea
