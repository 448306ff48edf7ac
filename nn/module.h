#pragma once
#include <string>
#include <vector>

#include "core/autograd.h"

namespace fovea {

struct NamedTensor {
  std::string name;  // dotted path from the module asked, e.g. "blocks.1.0.conv_dw.weight"
  Tensor tensor;
};

// A part of a network: parameters (trained), buffers (kept in checkpoints but not trained: running averages),
// and child modules, all by name. A derived class creates them in its constructor; a child is a member
// registered under its name. Modules stay where they were made: neither copied nor moved.
class Module {
 public:
  Module() = default;
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  std::vector<NamedTensor> parameters() const;  // of this module and all below, in the order of registration
  std::vector<NamedTensor> buffers() const;
  int64_t parameter_count() const;

  // Training or evaluation, for this module and all below: batch norm, dropout and stochastic depth ask.
  void set_training(bool training);
  bool training() const { return training_; }

  // Batch norms below normalise by their running averages, which stay as they are, even in training.
  virtual void freeze_statistics(bool frozen);

  // Whether the parameters below take part in training; frozen ones get no gradient.
  void set_requires_grad(bool on);
  void clear_gradients() const;

  // Moves all parameters and buffers below; gradients are dropped. Inputs must then be on that device.
  void to(Device device) const;
  Device device() const;  // of the first parameter

  const std::string& path() const { return path_; }  // as registered from the topmost module; "" for that one

 protected:
  Tensor add_parameter(const std::string& name, Tensor initial);
  Tensor add_buffer(const std::string& name, Tensor initial);
  void add_child(const std::string& name, Module& child);

 private:
  struct Child {
    std::string name;
    Module* module;
  };
  void collect(const std::string& prefix, bool buffers, std::vector<NamedTensor>& into) const;
  void set_path(const std::string& path);

  std::vector<NamedTensor> parameters_, buffers_;
  std::vector<Child> children_;
  std::string path_;
  bool training_ = true;
};

}  // namespace fovea
