#pragma once
#include "cuda/platform.h"

namespace fovea {

// a b, rounded before anything is added to it. Compilers fuse a b + c into one operation of one rounding
// where the machine has it; comparisons of boxes must not depend on that: a box's overlap with itself would
// not be exactly 1, and ties and thresholds would fall differently on the CPU, whose files are compiled
// without it.
__device__ inline float exact_product(float a, float b) {
#ifndef FOVEA_SIM
  return __fmul_rn(a, b);
#elif defined(__clang__)
#pragma clang fp contract(off)
  return a * b;
#else
  return __builtin_assoc_barrier(a * b);
#endif
}

}  // namespace fovea
