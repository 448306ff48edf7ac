#pragma once
#include "cuda/device/host_device.h"

namespace fovea {

// A box as models/box.h has it, read and written at once. Host code sees it too; what kernels compute of it
// is in box.h.
struct alignas(16) BoxEdges {
  float ymin, xmin, ymax, xmax;

  FOVEA_HOST_DEVICE float height() const { return ymax - ymin; }
  FOVEA_HOST_DEVICE float width() const { return xmax - xmin; }
};

// Where decoding clamps a code (models/box_coder.h has the reasons).
inline constexpr float box_code_max_shift = 1e6f;
inline constexpr float box_code_max_log_ratio = 20;

}  // namespace fovea
