#pragma once
#include <memory>
#include <utility>

#include "train/data/loader/dataset.h"

namespace fovea {

// Two parts of a data set, the first with this share of the examples (rounded). The random choice of examples
// depends only on the seed and the number of examples, and each part keeps their order. Two data sets of the
// same files that differ in augmentation are therefore split in the same way. Throws Error unless 0 < share <
// 1 and both parts get an example.
std::pair<std::shared_ptr<const Dataset>, std::shared_ptr<const Dataset>> split(
    std::shared_ptr<const Dataset> dataset, double share, int64_t seed = 0);

}  // namespace fovea
