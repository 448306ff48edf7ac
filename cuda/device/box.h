#pragma once
#include <cmath>
#include <cstdint>

#include "cuda/device/box_edges.h"
#include "cuda/platform.h"

namespace fovea {

// a b, rounded before anything is added to it. Compilers fuse a b + c into one operation with one rounding
// where the machine has it. Comparisons of boxes must not depend on that: a box's overlap with itself would
// not be exactly 1, and ties and thresholds would come out differently on the CPU, whose files are compiled
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

// Height times width.
__device__ inline float area(const BoxEdges& box) { return exact_product(box.height(), box.width()); }

// The area that two boxes share; 0 if they are disjoint.
__device__ inline float intersection(const BoxEdges& a, const BoxEdges& b) {
  const float height = fminf(a.ymax, b.ymax) - fmaxf(a.ymin, b.ymin);
  const float width = fminf(a.xmax, b.xmax) - fmaxf(a.xmin, b.xmin);
  return height > 0 && width > 0 ? exact_product(height, width) : 0.0f;
}

// Same bits as iou() in models/nms.cpp and in train/detection/matching.cpp.
__device__ inline float intersection_over_union(const BoxEdges& a, const BoxEdges& b) {
  const float common = intersection(a, b);
  return common > 0 ? common / (area(a) + area(b) - common) : 0.0f;
}

// encode() of models/box_coder.h, which explains the formulas. A code is (ty, tx, th, tw).
__device__ inline BoxEdges encode_box(const BoxEdges& anchor, const BoxEdges& truth) {
  const float y = (truth.ymin + truth.height() / 2) - (anchor.ymin + anchor.height() / 2);
  const float x = (truth.xmin + truth.width() / 2) - (anchor.xmin + anchor.width() / 2);
  return {y / anchor.height(), x / anchor.width(), std::log(truth.height() / anchor.height()),
          std::log(truth.width() / anchor.width())};
}

// decode() of models/box_coder.h.
__device__ inline BoxEdges decode_box(const BoxEdges& anchor, const BoxEdges& code) {
  constexpr float shift = box_code_max_shift, ratio = box_code_max_log_ratio;
  const float ty = code.ymin < -shift ? -shift : (code.ymin > shift ? shift : code.ymin);
  const float tx = code.xmin < -shift ? -shift : (code.xmin > shift ? shift : code.xmin);
  const float y = ty * anchor.height() + (anchor.ymin + anchor.height() / 2);
  const float x = tx * anchor.width() + (anchor.xmin + anchor.width() / 2);
  const float height = std::exp(code.ymax > ratio ? ratio : code.ymax) * anchor.height();
  const float width = std::exp(code.xmax > ratio ? ratio : code.xmax) * anchor.width();
  return {y - height / 2, x - width / 2, y + height / 2, x + width / 2};
}

// Returns the greatest value of a warp to every lane. All 32 lanes must call it.
__device__ inline uint64_t warp_max(uint64_t value) {
  for (int step = 16; step > 0; step /= 2) {
    const uint64_t other = __shfl_xor_sync(0xffffffffu, value, step);
    if (other > value) value = other;
  }
  return value;
}

}  // namespace fovea
