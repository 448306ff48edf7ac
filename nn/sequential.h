#pragma once
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "nn/module.h"

namespace fovea {

// Layers in a row, each fed with the output of the one before it; named "0", "1", ... as in PyTorch.
//   Sequential body{*this, "body"};
//   body.add<Conv2d>(Conv2dOptions{.in = 3, .out = 16});
//   body.add(relu);
//   body.add<Linear>(16, 10);
class Sequential : public Module {
 public:
  explicit Sequential(uint64_t seed = 0) : Module(seed) {}
  Sequential(Module& parent, const std::string& name) : Module(parent, name) {}

  // Makes a layer of this kind as the next one: Layer(*this, its number, arguments...). Returns it; the
  // Sequential owns it.
  template <class Layer, class... Arguments>
  Layer& add(Arguments&&... arguments) {
    auto layer =
        std::make_unique<Layer>(*this, std::to_string(steps_.size()), std::forward<Arguments>(arguments)...);
    Layer& added = *layer;
    steps_.emplace_back([&added](const Tensor& x) { return added.forward(x); });
    layers_.push_back(std::move(layer));
    return added;
  }
  // A function as the next layer; it takes a number as well.
  void add(std::function<Tensor(const Tensor&)> function) { steps_.push_back(std::move(function)); }

  Tensor forward(const Tensor& x) const override {
    Tensor y = x;
    for (const auto& step : steps_) y = step(y);
    return y;
  }

 private:
  std::vector<std::unique_ptr<Module>> layers_;
  std::vector<std::function<Tensor(const Tensor&)>> steps_;
};

}  // namespace fovea
