#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/tensor.h"

namespace fovea {

// The input of a network and the target for its output, both on the CPU. They may have any shape, the same
// for all examples of a data set. A class is an int32 scalar (class_label); a target may also be numbers to
// regress or a mask.
struct Example {
  Tensor input, target;
};

inline Tensor class_label(int label) { return full(Shape(), label, DType::int32); }

// Examples by their index, for batches(). Derive from it for your own data.
class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual int64_t size() const = 0;  // the number of examples

  // Example `index`, 0 .. size() - 1. It must depend only on the index and the numbers from `random`, which
  // augmentation uses: then batches do not depend on the number of threads. It is called from several threads
  // at once. The loop over the batches rethrows its exceptions.
  virtual Example get(int64_t index, Random& random) const = 0;

  // Name i is that of label i; empty if the targets are not classes, or have no names.
  virtual std::vector<std::string> class_names() const { return {}; }
};

}  // namespace fovea
