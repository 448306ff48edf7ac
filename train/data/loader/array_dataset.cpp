#include "train/data/loader/array_dataset.h"

#include <algorithm>

#include "core/error.h"

namespace fovea {
namespace {

// Index `index` of the first axis, copied.
Tensor row(const Tensor& whole, int64_t index) {
  const Tensor result(whole.shape().without(0), whole.dtype());
  std::copy_n(whole.raw() + index * result.bytes(), result.bytes(), result.raw());
  return result;
}

Tensor unit_range_row(const Tensor& whole, int64_t index) {
  const Tensor result(whole.shape().without(0));
  const uint8_t* first = whole.data<uint8_t>() + index * result.numel();
  std::transform(first, first + result.numel(), result.data<float>(),
                 [](uint8_t byte) { return float(byte) / 255; });
  return result;
}

void check(const char* name, const Tensor& array) {
  require(array.rank() >= 1,
          "[array_dataset] the {} are a scalar: their first axis must be that of the examples", name);
  require(array.device() == Device::cpu, "[array_dataset] the {} are on the GPU: give them on the CPU", name);
}

class ArrayDataset : public Dataset {
 public:
  ArrayDataset(const Tensor& inputs, const Tensor& targets, ArrayOptions options)
      : inputs_(inputs.detach()), targets_(targets.detach()), options_(std::move(options)) {
    check("inputs", inputs);
    check("targets", targets);
    require(inputs.size(0) == targets.size(0),
            "[array_dataset] the inputs are {} and the targets {}: the first axes must be equal",
            inputs.shape(), targets.shape());
    require(!options_.unit_range || inputs.dtype() == DType::uint8,
            "[array_dataset] `unit_range` is for inputs of uint8, but these are {}", inputs.dtype());
    if (!options_.class_names.empty()) check_labels();
  }
  int64_t size() const override { return inputs_.size(0); }
  Example get(int64_t index, Random& /*random*/) const override {
    require(index >= 0 && index < size(), "[array_dataset] there is no example {}: there are {}", index,
            size());
    return {options_.unit_range ? unit_range_row(inputs_, index) : row(inputs_, index), row(targets_, index)};
  }
  std::vector<std::string> class_names() const override { return options_.class_names; }

 private:
  void check_labels() const {
    const size_t classes = options_.class_names.size();
    require(targets_.dtype() == DType::int32,
            "[array_dataset] the targets are {}, but those with `class_names` must be int32",
            targets_.dtype());
    for (const int32_t label : targets_.span<int32_t>())
      require(label >= 0 && size_t(label) < classes,
              "[array_dataset] a target is {}, but there are {} `class_names`: labels are indices from 0",
              label, classes);
  }

  Tensor inputs_, targets_;
  ArrayOptions options_;
};

}  // namespace

std::shared_ptr<const Dataset> array_dataset(const Tensor& inputs, const Tensor& targets,
                                             ArrayOptions options) {
  return std::make_shared<ArrayDataset>(inputs, targets, std::move(options));
}

}  // namespace fovea
