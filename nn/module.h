#pragma once
#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include "core/autograd.h"
#include "cuda/runtime/process_group.h"
#include "ops/support/parameter_casts.h"

namespace fovea {

// What kind of weight a parameter is. Fovea stores weights for NHWC, published files for NCHW;
// nn/io/weights.h converts between the two.
//   linear     (in, out)                published (out, in)
//   pointwise  (in, out)                          (out, in, 1, 1)
//   depthwise  (k, k, channels)                   (channels, 1, k, k)
//   dense      (k, k, in, out)                    (out, in, k, k)
//   same       as it is: biases, norms, running averages
enum class WeightLayout { same, linear, pointwise, depthwise, dense };

// A parameter, a buffer, or any other tensor that a file holds by name.
struct NamedTensor {
  std::string name;  // dotted path from the module called, e.g. "blocks.1.0.conv_dw.weight"
  Tensor tensor;
  WeightLayout layout = WeightLayout::same;
};

// A part of a network: parameters (trained), buffers (kept in checkpoints but not trained: running averages),
// and child modules, all by name. Modules can be neither copied nor moved. A network of your own names its
// parts once, where it declares them:
//   struct Net : Module {
//     Conv2d conv{*this, "conv", {.in = 3, .out = 32, .kernel = 3, .stride = 2}};
//     Linear head{*this, "head", 32, 10};
//     Tensor forward(const Tensor& x) const override { return head(global_average_pool(relu(conv(x)))); }
//   };
class Module {
 public:
  // A network, which owns the random numbers of all its parts: their first weights, and dropout in training.
  explicit Module(uint64_t seed = 0) : rng_(seed) {}
  // A part of `parent`, which must outlive it. Throws Error if the parent has another part of this name.
  Module(Module& parent, const std::string& name);
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  // Computes the output for x, in modules that map one tensor to one. Throws Error if a derived class has no
  // such function.
  virtual Tensor forward(const Tensor& x) const;
  Tensor operator()(const Tensor& x) const { return forward(x); }

  // The random numbers of the network that this module belongs to.
  Random& rng() const;

  std::vector<NamedTensor> parameters() const;  // of this module and all below, in the order of registration
  std::vector<NamedTensor> buffers() const;     // likewise
  int64_t parameter_count() const;              // numbers in all parameters

  // Selects training or evaluation for this module and all below: batch norm, dropout, stochastic depth.
  void set_training(bool training);
  bool training() const { return training_; }

  // Whether the parts of this module and of all below that support it (an EfficientNet's blocks, BiFPN nodes,
  // the heads' towers) keep only their inputs and run again in the backward pass: core/recompute.h.
  void set_recompute(bool on);

  // Makes batch norms below use their running averages, which then do not change, even in training.
  virtual void freeze_statistics(bool frozen);

  // In training, batch norms below take their statistics over the batches of all processes of the group,
  // which must outlive the module's use; null: over this process's.
  virtual void set_process_group(ProcessGroup* group);

  // Whether the parameters below take part in training; frozen ones get no gradient.
  void set_requires_grad(bool on) const;

  // Takes this module and all below out of training for good: parameters get no gradient, batch norms
  // normalise by their running averages, which stay as they are.
  virtual void freeze();

  // Calls f(module) for this one and all below, parents before children.
  void for_each(const std::function<void(Module&)>& f);
  void clear_gradients() const;

  // Moves all parameters and buffers below and drops their gradients. Inputs must then be on that device.
  void to(Device device) const;
  Device device() const;  // of the first parameter

  const std::string& path() const { return path_; }  // as registered from the topmost module; "" for that one

 protected:
  // For the constructor of a derived class. A parameter requires its gradient, a buffer has none; both
  // functions return the tensor, which is also the member. add_child() adds a child made without its parent,
  // which must outlive this module; throws if two have one name.
  Tensor add_parameter(const std::string& name, Tensor initial, WeightLayout layout = WeightLayout::same);
  Tensor add_buffer(const std::string& name, Tensor initial);
  void add_child(const std::string& name, Module& child);

  // forward(inputs), through recompute() if that is on. `parts` are the modules that it uses.
  Tensor run_part(const std::function<Tensor(const Tensors&)>& forward, const Tensors& inputs,
                  std::initializer_list<const Module*> parts) const;

 private:
  struct Child {
    std::string name;
    Module* module;
  };
  void collect(const std::string& prefix, bool buffers, std::vector<NamedTensor>& into) const;
  void set_path(const std::string& path);

  std::vector<NamedTensor> parameters_, buffers_;
  std::vector<Child> children_;
  const Module* parent_ = nullptr;
  std::string path_;
  mutable Random rng_;  // used in a network, not in its parts
  bool training_ = true, recompute_ = false;
};

// Parameters and buffers, in order: all numbers of a trained network.
std::vector<NamedTensor> state_dict(const Module& model);

// Copies of its parameters for activations of this dtype, if products need any.
ParameterCasts casts_of(const Module& model, DType activations);

}  // namespace fovea
