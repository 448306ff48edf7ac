#include "train/data/sampler.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/error.h"

namespace fovea {

Sampler::Sampler(int64_t images, std::function<Random(int64_t)> order_of, const std::vector<double>& repeats)
    : samples_(images), order_of_(std::move(order_of)) {
  require(images > 0, "[sampler] there is no image to draw from");
  if (repeats.empty()) return;
  require(int64_t(repeats.size()) == images,
          "[sampler] there are {} images and {} repeat factors: give one each", images, repeats.size());
  double sum = 0;
  for (const double repeat : repeats) {
    require(repeat >= 1 && repeat <= 1e6, "[sampler] a repeat factor is {}: give 1 or more", repeat);
    ends_.push_back(sum += repeat);
  }
  // The length of an epoch becomes whole: all factors grow by the same share, by less than one sample
  // together.
  samples_ = int64_t(std::ceil(sum));
  for (double& end : ends_) end *= double(samples_) / sum;
  ends_.back() = double(samples_);
}

// Systematic sampling: image i appears once for each whole number in [ends_[i - 1] + u, ends_[i] + u), with
// one random u for the epoch; that is its factor on average, rounded up or down in each epoch, and every
// epoch has the same length.
std::vector<int64_t> Sampler::epoch_order(int64_t epoch) const {
  Random random = order_of_(epoch);
  std::vector<int64_t> order = random.permutation(samples_);
  if (ends_.empty()) return order;
  const double u = random.uniform();
  std::vector<int64_t> repeated;
  for (size_t i = 0; i < ends_.size(); ++i)
    while (double(repeated.size()) + 1 <= ends_[i] + u && int64_t(repeated.size()) < samples_)
      repeated.push_back(int64_t(i));
  for (int64_t& entry : order) entry = repeated[size_t(entry)];
  return order;
}

std::vector<int64_t> Sampler::images(int64_t first, int64_t count) const {
  std::vector<int64_t> result, order;
  int64_t epoch = -1;
  for (int64_t sample = first; sample < first + count; ++sample) {
    if (sample / samples_ != epoch) {
      epoch = sample / samples_;
      order = epoch_order(epoch);
    }
    result.push_back(order[size_t(sample % samples_)]);
  }
  return result;
}

int64_t Sampler::any(Random& random) const {
  if (ends_.empty()) return random.below(samples_);
  const double at = double(random.uniform()) * double(samples_);
  return std::upper_bound(ends_.begin(), ends_.end() - 1, at) - ends_.begin();
}

std::vector<double> repeat_factors(const std::vector<std::vector<int>>& labels, double threshold) {
  require(threshold > 0 && threshold <= 1,
          "[repeat_factors] the threshold is {}: give a share of the images above 0 and up to 1", threshold);
  std::map<int, int64_t> images_with;
  for (const std::vector<int>& image : labels)
    for (const int label : std::set<int>(image.begin(), image.end())) ++images_with[label];
  std::vector<double> factors;
  for (const std::vector<int>& image : labels) {
    double factor = 1;
    for (const int label : image) {
      const double share = double(images_with[label]) / double(labels.size());
      factor = std::max(factor, std::sqrt(threshold / share));
    }
    factors.push_back(factor);
  }
  return factors;
}

}  // namespace fovea
