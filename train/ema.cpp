#include "train/ema.h"

#include <algorithm>

#include "train/pieces.h"

namespace fovea {

std::vector<NamedTensor> weights_of(const Module& model) {
  std::vector<NamedTensor> weights = model.parameters();
  for (NamedTensor& buffer : model.buffers()) weights.push_back(std::move(buffer));
  return weights;
}

Ema::Ema(const Module& model, double decay) : decay_(decay), weights_(weights_of(model)) {
  for (const NamedTensor& weight : weights_) averages_.push_back({weight.name, weight.tensor.clone()});
}

void Ema::update(int64_t step) {
  const double t = double(step);
  const float d = float(std::min(decay_, (1 + t) / (10 + t)));
  Pieces(weights_).parallel([&](size_t k, int64_t begin, int64_t end) {
    const float* w = weights_[k].tensor.data<float>();
    float* average = averages_[k].tensor.data<float>();
    for (int64_t i = begin; i < end; ++i) average[i] += (1 - d) * (w[i] - average[i]);
  });
}

void Ema::swap() const {
  for (size_t k = 0; k < weights_.size(); ++k) {
    const auto w = weights_[k].tensor.span<float>();
    std::swap_ranges(w.begin(), w.end(), averages_[k].tensor.span<float>().begin());
  }
}

}  // namespace fovea
