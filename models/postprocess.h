#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "core/tensor.h"
#include "cuda/kernels/detection.h"
#include "cuda/runtime/staged_copy.h"
#include "models/box.h"

namespace fovea {

// How detect() chooses among the anchors.
struct DetectOptions {
  int top_k = 5000;                // (anchor, class) pairs that are decoded
  int max_detections = 100;        // boxes returned
  float score_threshold = 0.001f;  // detections must score more; 0 filters nothing
  bool soft_nms = false;        // gaussian soft NMS (google/automl's choice) instead of hard NMS (effdet's)
  float iou_threshold = 0.5f;   // for hard NMS
  float soft_nms_sigma = 0.5f;  // for soft NMS
  bool operator==(const DetectOptions&) const = default;
};

// The position of the original image in the network's input: flipped, scaled and placed in the top left
// corner (letterbox).
struct ImageFrame {
  double scale = 1;           // pixels of the network's input for each pixel of the original image
  int height = 0, width = 0;  // of the original image, for clipping; 0 and 0: boxes are not clipped
  Flip flip = {};             // boxes are flipped back, for which the size must be known
};

// The detections of one image, best score first, boxes in pixels of the original image (the steps of effdet's
// bench.py and anchors.py). The best top_k pairs by logit over all anchors and classes, ties to the lower
// index; decode those; clip to the image and leave out boxes that then have no area (effdet keeps them);
// score = sigmoid(logit); NMS for each class; map back. class_logits: num_anchors x num_classes; box_codes:
// num_anchors x 4 (ty, tx, th, tw), both dense in the order of the anchors. Throws Error if a size does not
// fit, any logit is NaN, or a code among the best is NaN or infinite.
std::vector<Detection> detect(std::span<const float> class_logits, std::span<const float> box_codes,
                              std::span<const Box> anchors, int num_classes, const ImageFrame& frame = {},
                              const DetectOptions& options = {});

// The same for a batch, one thread per image: frames.size() images whose logits and codes follow each other.
std::vector<std::vector<Detection>> detect_batch(std::span<const float> class_logits,
                                                 std::span<const float> box_codes,
                                                 std::span<const Box> anchors, int num_classes,
                                                 std::span<const ImageFrame> frames,
                                                 const DetectOptions& options = {});

// The same on Device::cuda: class_logits (N, num_anchors, num_classes) and box_codes (N, num_anchors, 4),
// both float32 or both bfloat16, and anchors (num_anchors, 4), float32; N at most 4096. The host waits once,
// for the detections. They are those of detect_batch() in the same order, boxes and scores up to the rounding
// of exp.
std::vector<std::vector<Detection>> detect_on_device(const Tensor& class_logits, const Tensor& box_codes,
                                                     const Tensor& anchors,
                                                     std::span<const ImageFrame> frames,
                                                     const DetectOptions& options = {});

// detect_on_device() in parts, for many batches of one shape: load() the frames, compute(), read(). The work
// of compute() may be captured in a graph, which is then replayed instead.
class DeviceDetection {
 public:
  // For `images` x `anchors` x `classes` logits. Throws Error if an image has 2^29 logits or more, or an
  // option is not valid.
  DeviceDetection(int64_t images, int64_t anchors, int64_t classes, const DetectOptions& options);

  // Throws Error unless there is one valid frame per image.
  void load(std::span<const ImageFrame> frames);
  // Takes tensors as detect_on_device() does, and throws as it does. They must keep their numbers until
  // read() is done.
  void compute(const Tensor& class_logits, const Tensor& box_codes, const Tensor& anchors);
  // The host waits for the device: its only wait.
  std::vector<std::vector<Detection>> read() const;

 private:
  int64_t images_, anchors_, classes_, room_, most_;
  DetectOptions options_;
  std::vector<ImageFrame> frames_;
  cuda::StagedCopy staging_;
  cuda::Workspace<float> limits_, scores_;
  cuda::Workspace<uint64_t> candidates_;
  cuda::Workspace<BoxEdges> boxes_;
  cuda::Workspace<int32_t> labels_;
  size_t kept_bytes_;  // boxes and status lie in one piece, so that one copy brings both
  cuda::Workspace<std::byte> results_;
  cuda::PinnedMemory on_host_;
  Tensor box_codes_;  // for error messages
};

}  // namespace fovea
