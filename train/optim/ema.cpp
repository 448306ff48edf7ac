#include "train/optim/ema.h"

#include <algorithm>

#include "core/error.h"
#include "train/optim/flat_parameters.h"

namespace fovea {

Ema::Ema(const Module& model, double decay)
    : decay_(decay),
      weights_(state_dict(model)),
      device_(weights_.empty() ? Device::cpu : weights_.front().tensor.device()),
      step_decay_(device_) {
  for (const NamedTensor& weight : weights_) averages_.push_back({weight.name, weight.tensor.clone()});
  if (device_ == Device::cuda) tables_.emplace(weights_);
}

void Ema::prepare(int64_t step) {
  require(!cuda::is_capturing(), "[Ema] prepare() was called under capture: call it before each replay");
  const double t = double(step);
  step_decay_.set({float(std::min(decay_, (1 + t) / (10 + t)))});
  if (tables_) tables_->prepare();
}

void Ema::apply() {
  require(step_decay_.is_set(), "[Ema] apply() was called before prepare()");
  const float* decay = step_decay_.data();
  if (device_ == Device::cuda) return cuda::update_average(table(), decay);
  const float d = *decay;
  FlatParameters(weights_).parallel([&](size_t k, int64_t begin, int64_t end) {
    const float* w = weights_[k].tensor.data<float>();
    float* average = averages_[k].tensor.data<float>();
    for (int64_t i = begin; i < end; ++i) average[i] += (1 - d) * (w[i] - average[i]);
  });
}

void Ema::update(int64_t step) {
  prepare(step);
  apply();
}

void Ema::swap() const {
  if (device_ == Device::cuda) return cuda::swap_with_average(table());
  for (size_t k = 0; k < weights_.size(); ++k) {
    const auto w = weights_[k].tensor.span<float>();
    std::swap_ranges(w.begin(), w.end(), averages_[k].tensor.span<float>().begin());
  }
}

cuda::MultiTensorTable<cuda::AveragedTensor> Ema::table() const {
  std::vector<cuda::AveragedTensor> rows;
  for (size_t k = 0; k < weights_.size(); ++k) {
    const Tensor& weight = weights_[k].tensor;
    require(weight.device() == device_, "[Ema] {} is no longer on {}, where its average is", weights_[k].name,
            name(device_));
    rows.push_back({weight.data<float>(), averages_[k].tensor.data<float>(), weight.numel()});
  }
  return tables_->table(rows);
}

}  // namespace fovea
