#pragma once
#include <cmath>
#include <cstdint>

#include "cuda/device/bfloat16.h"
#include "cuda/device/box_edges.h"
#include "cuda/device/host_device.h"

namespace fovea {

// Which term an IoU loss adds to 1 - IoU, so that boxes that do not overlap have a gradient as well.
enum class IouLossKind : int32_t {
  giou,  // the share of the hull of both boxes that neither covers (arXiv 1902.09630)
  diou,  // (distance of the centres / diagonal of the hull)^2 (arXiv 1911.08287, section "DIoU loss")
  ciou   // that, plus alpha v for the difference in aspect (the same paper, section "CIoU loss")
};

// One of these losses for a box code (ty, tx, th, tw), with its derivatives with respect to the code: through
// decoding as in models/box_coder.h, 0 where that clamps. Both boxes are decoded relative to the anchor's
// centre, because the losses do not depend on where the two are: far from the image's corner no digits are
// lost. Where edges coincide, the derivative is the mean of both sides', so that it is 0 at the target. A NaN
// in the code makes the loss NaN.
template <class T>
struct IouLoss {
  IouLossKind kind;

  // The result of at() for one box.
  struct Result {
    T loss, ty, tx, th, tw;  // the derivatives
  };

  // anchor_height, anchor_width > 0.
  FOVEA_HOST_DEVICE Result at(const T (&code)[4], const T (&target)[4], T anchor_height,
                              T anchor_width) const {
    const Axis y = axis(code[0], code[2], target[0], target[2], anchor_height);
    const Axis x = axis(code[1], code[3], target[1], target[3], anchor_width);
    const T common = y.common * x.common, joined = y.extent * x.extent + y.target * x.target - common;
    const T iou = quotient(common, joined);
    Result r{T(1) - iou, 0, 0, 0, 0};
    // With respect to the common area, the predicted area, the sides of the hull and the distances.
    T d_common = -quotient(T(1) + iou, joined), d_area = quotient(iou, joined);
    T d_hull_y = 0, d_hull_x = 0, d_distance_y = 0, d_distance_x = 0, d_aspect = 0;
    if (kind == IouLossKind::giou) {
      const T hull = y.hull * x.hull, covered = quotient(joined, hull);
      r.loss += T(1) - covered;
      d_common += quotient(T(1), hull);
      d_area -= quotient(T(1), hull);
      d_hull_y = quotient(covered, y.hull);
      d_hull_x = quotient(covered, x.hull);
    } else {
      const T diagonal = y.hull * y.hull + x.hull * x.hull;
      const T distance = quotient(y.distance * y.distance + x.distance * x.distance, diagonal);
      r.loss += distance;
      d_distance_y = quotient(T(2) * y.distance, diagonal);
      d_distance_x = quotient(T(2) * x.distance, diagonal);
      d_hull_y = -distance * quotient(T(2) * y.hull, diagonal);
      d_hull_x = -distance * quotient(T(2) * x.hull, diagonal);
    }
    if (kind == IouLossKind::ciou) {
      // The paper differentiates v with alpha held constant. With respect to log(width / height) the angle's
      // derivative is w h / (w^2 + h^2), at most 1/2. So the paper's trick of omitting the denominator, which
      // gradients with respect to w and h need, is not needed here.
      constexpr T scale = T(0.40528473456935109);  // 4 / pi^2
      const T angle = std::atan2(x.target_size, y.target_size) - std::atan2(x.size, y.size);
      const T v = scale * angle * angle, unlike = T(1) - iou > T(0) ? T(1) - iou : T(0);
      const T alpha = quotient(v, unlike + v);
      const T ratio = y.size < x.size ? quotient(y.size, x.size) : quotient(x.size, y.size);
      r.loss += alpha * v;
      d_aspect = T(-2) * alpha * scale * angle * ratio / (T(1) + ratio * ratio);
    }
    const T to_y = d_common * x.common, to_x = d_common * y.common;  // from a side of the common area
    r.ty = y.free_shift * (to_y * y.common_by_shift + d_hull_y * -y.outer_shift + d_distance_y);
    r.tx = x.free_shift * (to_x * x.common_by_shift + d_hull_x * -x.outer_shift + d_distance_x);
    r.th = y.free_size *
           (y.size * (to_y * y.common_by_size + d_area * x.extent + d_hull_y * y.outer_size) - d_aspect);
    r.tw = x.free_size *
           (x.size * (to_x * x.common_by_size + d_area * y.extent + d_hull_x * x.outer_size) + d_aspect);
    return r;
  }

 private:
  // The predicted box and its target along one axis, in pixels, and derivatives with respect to the
  // predicted centre ("shift") and size.
  struct Axis {
    T size, target_size;                // decoded
    T extent, target;                   // the same as differences of edges, so that equal boxes have IoU 1
    T common, hull, distance;           // distance: of the centres, with its sign
    T common_by_shift, common_by_size;  // 0 if the two are disjoint
    T outer_shift, outer_size;          // the hull's derivatives, the one by the shift negated
    T free_shift, free_size;            // the anchor's size, and 1; 0 where decoding clamps
  };

  // 0 / 0, for boxes without an area, is 0; a NaN stays a NaN.
  FOVEA_HOST_DEVICE static T quotient(T a, T b) { return b == T(0) ? T(0) : a / b; }

  FOVEA_HOST_DEVICE static T centre(T shift, T anchor) {
    constexpr T limit = T(box_code_max_shift);
    return (shift < -limit ? -limit : shift > limit ? limit : shift) * anchor;
  }
  FOVEA_HOST_DEVICE static T side(T log_ratio, T anchor) {
    constexpr T limit = T(box_code_max_log_ratio);
    return std::exp(log_ratio > limit ? limit : log_ratio) * anchor;
  }

  FOVEA_HOST_DEVICE static Axis axis(T shift, T log_ratio, T target_shift, T target_log_ratio, T anchor) {
    const T c = centre(shift, anchor), s = side(log_ratio, anchor), low = c - s / 2, high = c + s / 2;
    const T target_c = centre(target_shift, anchor), target_s = side(target_log_ratio, anchor);
    const T target_low = target_c - target_s / 2, target_high = target_c + target_s / 2;
    // Whether an edge of the prediction bounds the common area; otherwise it bounds the hull.
    const T inner_low = low > target_low ? T(1) : low == target_low ? T(0.5) : T(0);
    const T inner_high = high < target_high ? T(1) : high == target_high ? T(0.5) : T(0);
    const T common = (high < target_high ? high : target_high) - (low > target_low ? low : target_low);
    const T hull = (high > target_high ? high : target_high) - (low < target_low ? low : target_low);
    const T meet = common > T(0) ? T(1) : T(0), by_shift = inner_high - inner_low;
    const T by_size = (inner_high + inner_low) / 2;
    return {s,
            target_s,
            high - low,
            target_high - target_low,
            common > T(0) ? common : T(0),
            hull,
            c - target_c,
            meet * by_shift,
            meet * by_size,
            by_shift,
            T(1) - by_size,
            shift < -T(box_code_max_shift) || shift > T(box_code_max_shift) ? T(0) : anchor,
            log_ratio > T(box_code_max_log_ratio) ? T(0) : T(1)};
  }
};

// The box codes that a network predicts for the anchors of some images, and what they should be.
template <class T>
struct MatchedBoxes {
  const T* codes;                 // (n, 4)
  const Accumulator<T>* targets;  // (n, 4), codes
  const int32_t* labels;          // (n): anchors with a label of 0 or more have an object
  const Accumulator<T>* anchors;  // (anchors_per_image, 4): ymin, xmin, ymax, xmax
  int64_t n, anchors_per_image;

  // The loss of the i-th code.
  FOVEA_HOST_DEVICE typename IouLoss<Accumulator<T>>::Result at(const IouLoss<Accumulator<T>>& iou,
                                                                int64_t i) const {
    return of(iou, codes + i * 4, targets + i * 4, anchor(i));
  }
  FOVEA_HOST_DEVICE const Accumulator<T>* anchor(int64_t i) const {
    return anchors + i % anchors_per_image * 4;
  }
  // The same for four numbers each.
  FOVEA_HOST_DEVICE static typename IouLoss<Accumulator<T>>::Result of(const IouLoss<Accumulator<T>>& iou,
                                                                       const T* c, const Accumulator<T>* t,
                                                                       const Accumulator<T>* anchor) {
    using R = Accumulator<T>;
    const R code[4] = {R(c[0]), R(c[1]), R(c[2]), R(c[3])}, target[4] = {t[0], t[1], t[2], t[3]};
    return iou.at(code, target, anchor[2] - anchor[0], anchor[3] - anchor[1]);
  }
};

}  // namespace fovea
