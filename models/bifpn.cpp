#include "models/bifpn.h"

#include <numeric>

#include "nn/trace.h"
#include "ops/pool2d.h"

namespace fovea {

std::vector<BiFpnNodePlan> bifpn_plan(int min_level, int max_level, Connections connections) {
  require(min_level < max_level, "[bifpn_plan] levels {} to {}: a pyramid has at least two", min_level,
          max_level);
  const int levels = max_level - min_level + 1;
  std::vector<std::vector<int>> ids;  // of each level, in order
  for (int i = 0; i < levels; ++i) ids.push_back({i});
  std::vector<BiFpnNodePlan> plan;
  const auto add = [&](int i, std::vector<int> inputs) {
    ids[size_t(i)].push_back(levels + int(plan.size()));
    plan.push_back({min_level + i, std::move(inputs)});
  };
  const auto latest = [&](int i) { return ids[size_t(i)].back(); };
  if (connections == Connections::fully_connected) {
    std::vector<int> all(size_t(levels), 0);
    std::iota(all.begin(), all.end(), 0);
    for (int i = 0; i < levels; ++i) add(i, all);
    return plan;
  }
  const bool bifpn = connections == Connections::bifpn;  // has no nodes that only pass on one input
  if (!bifpn) add(levels - 1, {latest(levels - 1)});
  for (int i = levels - 2; i >= 0; --i) add(i, {latest(i), latest(i + 1)});
  if (connections == Connections::top_down) return plan;
  if (!bifpn) add(0, {latest(0)});
  for (int i = 1; i < levels; ++i) {
    std::vector<int> inputs = bifpn ? ids[size_t(i)] : std::vector<int>{latest(i)};
    inputs.push_back(latest(i - 1));
    add(i, inputs);
  }
  return plan;
}

SeparableConv::SeparableConv(int64_t in, int64_t out, bool bias, Padding padding, Init init, Random& random)
    : depthwise_(in, {3, 1, padding}, random, init), pointwise_(in, out, bias, random, init) {
  add_child("conv_dw", depthwise_);
  add_child("conv_pw", pointwise_);
}

Tensor SeparableConv::forward(const Tensor& x, Epilogue* epilogue) const {
  return pointwise_.forward(depthwise_.forward(x), epilogue);
}

Tensor SeparableConv::forward(const Tensor& x, const PyramidShape& shape) const {
  return pointwise_.forward(depthwise_.forward(x, shape));
}

ConvNorm::ConvNorm(int64_t in, int64_t out, bool bias, NormOptions norm, Random& random)
    : conv_(in, out, bias, random, Init::glorot_uniform), norm_(out, Activation::identity, norm) {
  add_child("conv.conv", conv_);
  add_child("conv.bn", norm_);
}

BiFpn::Node::Node(const BiFpnSpec& spec, const BiFpnNodePlan& plan,
                  const std::vector<int64_t>& input_channels, Random& random)
    : fusion(spec.fusion),
      activation(spec.activation),
      padding(spec.padding),
      inputs(plan.inputs),
      conv(spec.channels, spec.channels, spec.bias_before_norm, spec.padding, Init::glorot_uniform, random),
      norm(spec.channels, Activation::identity, spec.norm) {
  if (fusion != Fusion::sum)
    edge_weights = add_parameter("combine.edge_weights", ones({int64_t(inputs.size())}));
  for (int id : inputs) {
    if (id >= int(input_channels.size()) || input_channels[size_t(id)] == spec.channels) continue;
    resample[id] = std::make_unique<ConvNorm>(input_channels[size_t(id)], spec.channels,
                                              spec.bias_before_norm, spec.norm, random);
    add_child(fmt::format("combine.resample.{}", id), *resample[id]);
  }
  add_child("after_combine.conv", conv);
  add_child("after_combine.conv.bn", norm);
}

Tensor BiFpn::Node::forward(const Tensors& all, int64_t height, int64_t width) const {
  Tensors own;
  for (int id : inputs) own.push_back(all[size_t(id)]);
  const auto node = [this, height, width](const Tensors& features) {
    Tensors resampled;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const auto found = resample.find(inputs[i]);
      resampled.push_back(found == resample.end() ? features[i] : found->second->forward(features[i]));
    }
    const Tensor fused = bifpn_node(resampled, edge_weights, fusion, height, width, activation, padding);
    trace(*this, fmt::format("BiFPN node of {}", inputs.size()), fused, 0);
    return conv_norm(conv, norm, fused);
  };
  return run_part(node, own, {this});
}

BiFpn::BiFpn(const BiFpnSpec& spec, const std::vector<int64_t>& feature_channels, Random& random)
    : spec_(spec), plan_(bifpn_plan(spec.min_level, spec.max_level, spec.connections)) {
  const size_t levels = size_t(spec.max_level - spec.min_level + 1);
  require(!feature_channels.empty() && feature_channels.size() <= levels, "[BiFpn] {} features for {} levels",
          feature_channels.size(), levels);
  std::vector<int64_t> channels = feature_channels;
  if (channels.size() < levels && channels.back() != spec.channels) {
    extra_level_ =
        std::make_unique<ConvNorm>(channels.back(), spec.channels, spec.bias_before_norm, spec.norm, random);
    add_child(fmt::format("resample.{}", channels.size()), *extra_level_);
  }
  channels.resize(levels, spec.channels);
  for (int cell = 0; cell < spec.cells; ++cell) {
    cells_.emplace_back();
    for (size_t n = 0; n < plan_.size(); ++n) {
      cells_.back().push_back(std::make_unique<Node>(spec, plan_[n], channels, random));
      add_child(fmt::format("cell.{}.fnode.{}", cell, n), *cells_.back().back());
    }
    channels.assign(levels, spec.channels);
  }
}

Tensors BiFpn::forward(const Tensors& features) const {
  const size_t levels = size_t(spec_.max_level - spec_.min_level + 1);
  Tensors all = features;
  while (all.size() < levels) {  // the 1x1 convolution comes before the pool
    const bool first = all.size() == features.size();
    all.push_back(
        max_pool2d(first && extra_level_ ? extra_level_->forward(all.back()) : all.back(), spec_.padding));
  }
  for (const auto& cell : cells_) {
    Tensors outputs = all;  // the latest of each level, finest first
    for (size_t n = 0; n < cell.size(); ++n) {
      const size_t level = size_t(plan_[n].level - spec_.min_level);
      all.push_back(cell[n]->forward(all, all[level].size(1), all[level].size(2)));
      outputs[level] = all.back();
    }
    all = std::move(outputs);
  }
  return all;
}

}  // namespace fovea
