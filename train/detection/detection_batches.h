#pragma once
#include <array>
#include <vector>

#include "train/data/augment/augment.h"
#include "train/data/image/image_cache.h"
#include "train/data/sampler.h"
#include "train/detection/detector.h"
#include "train/detection/matching.h"
#include "train/loop/recipe.h"
#include "train/parallel/data_parallel.h"

namespace fovea {

// The batches of a training, each a function of the seed and its index: those of a step are step * accumulate
// and the next ones. May be called from many threads. Each of several processes makes its share of every
// batch.
class DetectionBatches {
 public:
  DetectionBatches(const TrainConfig& config, const DetectionDataset& dataset, const Detector& detector,
                   const ProcessGroup& group = single_process());

  // images (N, H, W, 3), normalised; for a detector on CUDA packed. For a detector on the CPU the targets are
  // matched already: classes int32 (N, anchors), box codes (N, anchors, 4), and the number of positive
  // anchors + 1. A detector on CUDA matches them itself: the targets are the two tensors of PaddedTruths.
  Batch make(int64_t index);
  // Only the images of a batch, into images (N, H, W, 3), with their boxes in pixels of these.
  std::vector<PreparedImage> images(int64_t index, const InputBatch& images);
  Tensor empty_images(int64_t index) const {
    const auto [height, width] = sizes_[size_of(index)];
    return Tensor({share_.count, height, width, 3});
  }
  // Heights and widths that batches have: training_sizes().
  const std::vector<std::array<int, 2>>& sizes() const { return sizes_; }
  int64_t samples_per_epoch() const { return sampler_.samples_per_epoch(); }

 private:
  PreparedImage prepare(size_t index, std::array<int, 2> size, Random& random, const InputImage& input);
  size_t size_of(int64_t index) const;  // among sizes_: the same in all batches of a step and all processes

  const TrainConfig& config_;
  BatchShare share_;
  const DetectionDataset& dataset_;
  const Detector& detector_;
  ImageCache images_;
  Sampler sampler_;
  std::vector<std::array<int, 2>> sizes_;
  std::vector<AnchorMatcher> matchers_;  // one for each size
  int64_t truth_room_ = 1;               // objects and crowd regions that an image can have
};

}  // namespace fovea
