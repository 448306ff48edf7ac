#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "nn/module.h"
#include "train/data/augment/input_image.h"

namespace fovea {

// Some images and the targets that the network should reach.
struct Batch {
  Tensor images;    // (N, H, W, C)
  Tensors targets;  // as the recipe's losses() read them
  // In place of `images`: the device makes `images` from this, see DeviceBatch.
  std::shared_ptr<const PackedImages> packed = nullptr;
};

// A network, its inputs and its loss: everything a training step computes. Training, memory prediction and
// step timing use the same recipe.
struct Recipe {
  std::shared_ptr<Module> model;
  // The network's outputs for images, on its device.
  std::function<Tensors(const Tensor& images)> forward;
  // The loss of these outputs and its parts, one number each, the loss first.
  std::function<std::vector<NamedTensor>(const Tensors& outputs, const Tensors& targets)> losses;
  // Both in a row. The outputs are freed when it returns: the tape holds what the backward pass needs of
  // them, and frees it during that pass.
  std::vector<NamedTensor> losses_of(const Batch& batch) const {
    return losses(forward(batch.images), batch.targets);
  }
  // Whether losses() are means over the batch. If so, the loss of a step with several batches is the mean of
  // their losses; otherwise it is their sum, and losses() must divide by what all of them hold.
  bool losses_are_means = true;
  // A batch of a training's size on a device, with undefined numbers. Only needed to predict memory and to
  // time steps.
  std::function<Batch(Device)> empty_batch = {};
  // The float32 tensors that stay on the device beside the weights. Only needed to predict memory.
  std::vector<Shape> constants = {};
  // Casts of the weights: a step computes its gradients in a scope of these.
  ParameterCasts casts = {};
};

}  // namespace fovea
