#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "nn/module.h"
#include "train/data/augment/input_image.h"

namespace fovea {

// Some images and what the network should answer.
struct Batch {
  Tensor images;    // (N, H, W, C)
  Tensors targets;  // as the recipe's losses() read them
  // In place of `images`, which the device makes of them: see DeviceBatch.
  std::shared_ptr<const PackedImages> packed = nullptr;
};

// A network, what it is fed and its loss: all that a training step computes. The same one is trained, has its
// memory predicted and its step timed.
struct Recipe {
  std::shared_ptr<Module> model;
  // The network's outputs for images, on its device.
  std::function<Tensors(const Tensor& images)> forward;
  // The loss of these outputs and its parts, one number each, the loss first.
  std::function<std::vector<NamedTensor>(const Tensors& outputs, const Tensors& targets)> losses;
  // The two in a row. The outputs are gone when it returns: the tape has what the backward pass needs of
  // them, and gives it up on the way.
  std::vector<NamedTensor> losses_of(const Batch& batch) const {
    return losses(forward(batch.images), batch.targets);
  }
  // Whether losses() are means over the batch. Where a step has several batches its loss is the mean of
  // theirs; otherwise their sum, and losses() must divide by what all of them hold.
  bool losses_are_means = true;
  // A batch of a training's size on a device, its numbers undefined. Only needed to predict memory and to
  // time steps.
  std::function<Batch(Device)> empty_batch = {};
  // The float32 tensors that stay on the device beside the weights. Only needed to predict memory.
  std::vector<Shape> constants = {};
  // Casts of the weights: a step computes its gradients in a scope of these.
  ParameterCasts casts = {};
};

}  // namespace fovea
