#pragma once
#include <cstdint>

namespace fovea {

struct BatchNormDims {
  int64_t rows = 0;  // N * H * W: what the statistics run over
  int64_t channels = 0;
};

}  // namespace fovea
