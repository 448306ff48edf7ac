#pragma once
#include <vector>

#include "core/random.h"
#include "train/data/random_stream.h"
#include "train/data/sampler.h"
#include "train/loop/config.h"

namespace fovea {

// The order of the training images: shuffled again for each epoch from config.seed, with rare classes
// repeated by config.repeat_threshold. `labels` holds the classes in each image.
inline Sampler training_sampler(const TrainConfig& config, const std::vector<std::vector<int>>& labels) {
  return {
      int64_t(labels.size()),
      [seed = uint64_t(config.seed)](int64_t epoch) {
        return Random(seed, stream_of(RandomStream::order, epoch));
      },
      config.repeat_threshold == 0 ? std::vector<double>{} : repeat_factors(labels, config.repeat_threshold)};
}

}  // namespace fovea
