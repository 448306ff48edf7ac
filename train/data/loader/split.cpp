#include "train/data/loader/split.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "train/data/random_stream.h"

namespace fovea {
namespace {

class Subset : public Dataset {
 public:
  Subset(std::shared_ptr<const Dataset> whole, std::vector<int64_t> indices)
      : whole_(std::move(whole)), indices_(std::move(indices)) {
    std::sort(indices_.begin(), indices_.end());
  }
  int64_t size() const override { return int64_t(indices_.size()); }
  Example get(int64_t index, Random& random) const override {
    return whole_->get(indices_.at(size_t(index)), random);
  }
  std::vector<std::string> class_names() const override { return whole_->class_names(); }

 private:
  std::shared_ptr<const Dataset> whole_;
  std::vector<int64_t> indices_;
};

}  // namespace

std::pair<std::shared_ptr<const Dataset>, std::shared_ptr<const Dataset>> split(
    std::shared_ptr<const Dataset> dataset, double share, int64_t seed) {
  require(share > 0 && share < 1, "[split] the share is {}: give one between 0 and 1", share);
  const int64_t examples = dataset->size(), first = std::llround(share * double(examples));
  require(first > 0 && first < examples, "[split] a share of {} of {} examples leaves one part empty", share,
          examples);
  const std::vector<int64_t> order =
      Random(uint64_t(seed), stream_of(RandomStream::split)).permutation(examples);
  const auto part = [&](int64_t begin, int64_t end) {
    return std::make_shared<Subset>(dataset,
                                    std::vector<int64_t>(order.begin() + begin, order.begin() + end));
  };
  return {part(0, first), part(first, examples)};
}

}  // namespace fovea
