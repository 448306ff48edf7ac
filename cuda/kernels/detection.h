#pragma once
#include <bit>
#include <cstdint>

#include "cuda/device/box_edges.h"
#include "cuda/device/host_device.h"

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
// Success or failure, for each image.
struct DetectionStatus {
  int32_t count;      // boxes left after suppression
  int32_t nan_logit;  // the first logit that is NaN, or nothing_wrong
  int32_t bad_code;   // 4 r + i: number i of candidate r's code is the first not finite; or nothing_wrong
};

// A candidate is one number. Its upper bits hold its logit, mapped to an integer of the same order, and its
// lower index_bits(n) the complement of its index: greater is better, and of equal logits the lower index. 0
// is no candidate.
inline int index_bits(int64_t n) { return int(std::bit_width(uint64_t(n - 1))); }
FOVEA_HOST_DEVICE inline int64_t candidate_index(uint64_t candidate, int index_bits) {
  return ~int64_t(candidate) & ((int64_t(1) << index_bits) - 1);
}

// The number of places for an image's k best candidates, which are sorted there: the next power of two.
int64_t candidate_room(int64_t n, int64_t k);

// Finds the k best of the logits greater than `bar`, best first: candidates (images, candidate_room(n, k)),
// where the places from k on hold others or 0. Initialises status (images) and reports NaN there. At most
// Stream::max_tickets images. T, here and below: float or bfloat16.
template <class T>
void top_candidates(const T* logits, uint64_t* candidates, DetectionStatus* status, int64_t images, int64_t n,
                    int64_t k, float bar);

// Where decode_candidates() writes: images x room of each.
struct DecodedCandidates {
  BoxEdges* boxes;
  float* scores;  // 0 from place k on, for scores up to the threshold and for boxes without an area
  int32_t* labels;
};
// All arrays are (images, room): the candidates' sigmoids and boxes, from codes (images, anchors, 4) and
// anchors (anchors, 4), clipped to limits (images, 2), height and width, where these are greater than 0.
template <class T>
void decode_candidates(const uint64_t* candidates, const T* logits, const T* codes, const float* anchors,
                       const float* limits, const DecodedCandidates& decoded, DetectionStatus* status,
                       int64_t images, int64_t k, int64_t room, int64_t num_anchors, int64_t classes,
                       float score_threshold);

// The options of suppress().
struct Suppression {
  bool soft = false;
  float iou_threshold = 0.5f;                    // for hard suppression
  float sigma = 0.5f, score_threshold = 0.001f;  // for soft suppression
  int32_t most = 100;                            // maximum number of boxes left
};
// nms() or soft_nms() of models/nms.h on sorted candidates: writes results (images, most) and the counts. The
// soft one overwrites the scores.
void suppress(const DecodedCandidates& decoded, DetectedBox* results, DetectionStatus* status, int64_t images,
              int64_t room, const Suppression& suppression);

}  // namespace fovea::cuda
