#include "nn/module.h"

#include "core/error.h"
#include "core/recompute.h"

namespace fovea {

Module::Module(Module& parent, const std::string& name) { parent.add_child(name, *this); }

Tensor Module::forward(const Tensor&) const {
  fail("[Module] {} has no forward(x) that takes and returns one tensor",
       path_.empty() ? "the network" : path_);
}

Random& Module::rng() const {
  const Module* network = this;
  while (network->parent_) network = network->parent_;
  return network->rng_;
}

Tensor Module::add_parameter(const std::string& name, Tensor initial, WeightLayout layout) {
  initial.set_requires_grad();
  parameters_.push_back({name, initial, layout});
  return initial;
}

Tensor Module::add_buffer(const std::string& name, Tensor initial) {
  buffers_.push_back({name, initial});
  return initial;
}

void Module::add_child(const std::string& name, Module& child) {
  for (const Child& other : children_)
    require(other.name != name, "[Module] two children of {} are named {}",
            path_.empty() ? "the network" : path_, name);
  children_.push_back({name, &child});
  child.parent_ = this;
  child.set_path(path_.empty() ? name : path_ + "." + name);
}

void Module::set_path(const std::string& path) {
  path_ = path;
  for (const Child& child : children_) child.module->set_path(path + "." + child.name);
}

void Module::collect(const std::string& prefix, bool buffers, std::vector<NamedTensor>& into) const {
  for (const NamedTensor& own : buffers ? buffers_ : parameters_)
    into.push_back({prefix + own.name, own.tensor, own.layout});
  for (const Child& child : children_) child.module->collect(prefix + child.name + ".", buffers, into);
}

std::vector<NamedTensor> Module::parameters() const {
  std::vector<NamedTensor> result;
  collect("", false, result);
  return result;
}

std::vector<NamedTensor> Module::buffers() const {
  std::vector<NamedTensor> result;
  collect("", true, result);
  return result;
}

int64_t Module::parameter_count() const {
  int64_t count = 0;
  for (const NamedTensor& parameter : parameters()) count += parameter.tensor.numel();
  return count;
}

void Module::set_training(bool training) {
  training_ = training;
  for (const Child& child : children_) child.module->set_training(training);
}

void Module::set_recompute(bool on) {
  recompute_ = on;
  for (const Child& child : children_) child.module->set_recompute(on);
}

Tensor Module::run_part(const std::function<Tensor(const Tensors&)>& forward, const Tensors& inputs,
                        std::initializer_list<const Module*> parts) const {
  if (!recompute_) return forward(inputs);
  Tensors parameters;
  for (const Module* part : parts)
    for (const NamedTensor& parameter : part->parameters()) parameters.push_back(parameter.tensor);
  return recompute(forward, inputs, parameters);
}

void Module::freeze_statistics(bool frozen) {
  for (const Child& child : children_) child.module->freeze_statistics(frozen);
}

void Module::set_process_group(ProcessGroup* group) {
  for (const Child& child : children_) child.module->set_process_group(group);
}

void Module::set_requires_grad(bool on) const {
  for (const NamedTensor& parameter : parameters_) parameter.tensor.set_requires_grad(on);
  for (const Child& child : children_) child.module->set_requires_grad(on);
}

void Module::freeze() {
  for (const NamedTensor& parameter : parameters_) parameter.tensor.set_requires_grad(false);
  for (const Child& child : children_) child.module->freeze();
}

void Module::for_each(const std::function<void(Module&)>& f) {
  f(*this);
  for (const Child& child : children_) child.module->for_each(f);
}

void Module::to(Device device) const {
  for (const NamedTensor& parameter : parameters()) parameter.tensor.move_to(device);
  for (const NamedTensor& buffer : buffers()) buffer.tensor.move_to(device);
}

Device Module::device() const {
  const std::vector<NamedTensor> all = parameters();
  return all.empty() ? Device::cpu : all.front().tensor.device();
}

void Module::clear_gradients() const {
  for (const NamedTensor& parameter : parameters()) parameter.tensor.clear_grad();
}

std::vector<NamedTensor> state_dict(const Module& model) {
  std::vector<NamedTensor> weights = model.parameters();
  for (NamedTensor& buffer : model.buffers()) weights.push_back(std::move(buffer));
  return weights;
}

ParameterCasts casts_of(const Module& model, DType activations) {
  Tensors parameters;
  for (const NamedTensor& p : model.parameters()) parameters.push_back(p.tensor);
  return {parameters, activations};
}

}  // namespace fovea
