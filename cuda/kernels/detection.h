#pragma once
#include <cstdint>

#include "cuda/device/box_edges.h"

namespace fovea::cuda {

// The steps of detect() in models/postprocess.h for a batch, in device memory. An image has n = anchors x
// classes logits, in that order, fewer than 2^29.

// A detection as the device writes it.
struct DetectedBox {
  BoxEdges box;  // in pixels of the network's input
  float score;
  int32_t label;
};
inline constexpr int32_t nothing_wrong = INT32_MAX;
// What went well and what did not, for each image.
struct DetectionStatus {
  int32_t count;      // boxes that suppression left
  int32_t nan_logit;  // the first logit that is NaN, or nothing_wrong
  int32_t bad_code;   // 4 r + i: number i of candidate r's code is the first not finite; or nothing_wrong
};

// A candidate is one number: its logit in the upper half, mapped to an integer of the same order, and the
// complement of its index in the lower: greater is better, and of equal logits the lower index. 0 is no
// candidate.
inline int64_t candidate_index(uint64_t candidate) { return int64_t(0xffffffffu - uint32_t(candidate)); }

// The places of an image for its k best candidates, which are sorted in them: the next power of two.
int64_t candidate_room(int64_t n, int64_t k);

// The k best of the logits greater than `bar`, best first, then zeros: candidates (images, candidate_room(n,
// k)). Begins status (images), and reports NaN there.
void top_candidates(const float* logits, uint64_t* candidates, DetectionStatus* status, int64_t images,
                    int64_t n, int64_t k, float bar);

// Where decode_candidates() writes: images x room of each.
struct DecodedCandidates {
  BoxEdges* boxes;
  float* scores;  // 0 for those that do not score more than the threshold, or whose box has no area
  int32_t* labels;
};
// All arrays (images, room): the candidates' sigmoids and boxes, from codes (images, anchors, 4) and anchors
// (anchors, 4), clipped to limits (images, 2), height and width, where these are greater than 0.
void decode_candidates(const uint64_t* candidates, const float* logits, const float* codes,
                       const float* anchors, const float* limits, const DecodedCandidates& decoded,
                       DetectionStatus* status, int64_t images, int64_t room, int64_t num_anchors,
                       int64_t classes, float score_threshold);

// Of suppress().
struct Suppression {
  bool soft = false;
  float iou_threshold = 0.5f;                    // of the hard one
  float sigma = 0.5f, score_threshold = 0.001f;  // of the soft one
  int32_t most = 100;                            // boxes left
};
// nms() or soft_nms() of models/nms.h: results (images, most) and the counts. Overwrites the scores.
void suppress(const DecodedCandidates& decoded, DetectedBox* results, DetectionStatus* status, int64_t images,
              int64_t room, const Suppression& suppression);

}  // namespace fovea::cuda
