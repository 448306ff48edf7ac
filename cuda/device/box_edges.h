#pragma once
#include "cuda/device/host_device.h"

namespace fovea {

// A box as in models/box.h, read and written at once. Host code includes it as well; what kernels compute
// from boxes is in box.h.
struct alignas(16) BoxEdges {
  float ymin, xmin, ymax, xmax;

  FOVEA_HOST_DEVICE float height() const { return ymax - ymin; }
  FOVEA_HOST_DEVICE float width() const { return xmax - xmin; }
};

// The limits at which decoding clamps a code (models/box_coder.h has the reasons).
inline constexpr float box_code_max_shift = 1e6f;
inline constexpr float box_code_max_log_ratio = 20;

}  // namespace fovea
