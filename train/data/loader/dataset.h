#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/tensor.h"

namespace fovea {

// What a network is shown and what it should answer, both on the CPU. They may have any shape, the same for
// all examples of a data set. A class is an int32 scalar (class_label); a target may also be numbers to
// regress or a mask.
struct Example {
  Tensor input, target;
};

inline Tensor class_label(int label) { return full(Shape(), label, DType::int32); }

// Examples by their index, for batches(). Derive from it to bring data of your own.
class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual int64_t size() const = 0;  // how many examples there are

  // Example `index`, 0 .. size() - 1. It must depend on nothing but the index and the numbers that `random`
  // gives, from which augmentation draws: then batches do not depend on the number of threads. It is called
  // from several threads at once. What it throws arrives in the loop over the batches.
  virtual Example get(int64_t index, Random& random) const = 0;

  // Name i is that of label i; empty where the targets are no classes, or have no names.
  virtual std::vector<std::string> class_names() const { return {}; }
};

}  // namespace fovea
