#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "core/random.h"

namespace fovea {

// The endless sequence of epochs in a training, each epoch with all images in a new order; sample number s is
// in epoch s / samples_per_epoch(). A batch may begin in one epoch and end in the next: every image appears
// equally often whatever the batch size, or as often as its repeat factor says.
class Sampler {
 public:
  // order_of(epoch) returns the random numbers that shuffle it. `repeats` is empty, or holds how often each
  // image appears in an epoch, 1 or more, not necessarily whole: 1.3 is once in seven epochs of ten and twice
  // in the other three. Throws Error if there is no image, or `repeats` has another length or a number below
  // 1.
  Sampler(int64_t images, std::function<Random(int64_t epoch)> order_of,
          const std::vector<double>& repeats = {});

  // The number of images, or the sum of the repeat factors, rounded up.
  int64_t samples_per_epoch() const { return samples_; }

  // The images of samples first .. first + count - 1.
  std::vector<int64_t> images(int64_t first, int64_t count) const;

  // A random image, with a probability proportional to its frequency in an epoch.
  int64_t any(Random& random) const;

 private:
  std::vector<int64_t> epoch_order(int64_t epoch) const;

  int64_t samples_;
  std::function<Random(int64_t)> order_of_;
  std::vector<double>
      ends_;  // sums of the repeat factors up to each image, the last of them samples_; or empty
};

// The repeat factors of LVIS (arXiv 1908.03195, section "Repeat factor sampling" of the appendix on
// training): a class c that a share f(c) of the images hold has r(c) = max(1, sqrt(threshold / f(c))), and an
// image has the largest of its classes, or 1 without any. `labels` holds the classes of each image, in any
// order, repeated or not. Throws Error unless 0 < threshold <= 1.
std::vector<double> repeat_factors(const std::vector<std::vector<int>>& labels, double threshold);

}  // namespace fovea
