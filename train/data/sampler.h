#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "core/random.h"

namespace fovea {

// The endless sequence of epochs that a training sees, each epoch all images in a new order; sample number s
// is in epoch s / images. A batch may begin in one epoch and end in the next: every image is seen equally
// often whatever the batch size.
class Sampler {
 public:
  // order_of(epoch): the random numbers that shuffle it.
  Sampler(int64_t images, std::function<Random(int64_t epoch)> order_of)
      : images_(images), order_of_(std::move(order_of)) {}

  // The images of samples first .. first + count - 1.
  std::vector<int64_t> images(int64_t first, int64_t count) const {
    std::vector<int64_t> result, order;
    int64_t epoch = -1;
    for (int64_t sample = first; sample < first + count; ++sample) {
      if (sample / images_ != epoch) {
        epoch = sample / images_;
        order = order_of_(epoch).permutation(images_);
      }
      result.push_back(order[size_t(sample % images_)]);
    }
    return result;
  }

 private:
  int64_t images_;
  std::function<Random(int64_t)> order_of_;
};

}  // namespace fovea
