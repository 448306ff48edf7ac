#pragma once
#include <functional>
#include <memory>
#include <optional>

#include "cuda/runtime/graph.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/staged_copy.h"
#include "nn/module.h"
#include "train/optim/optimizer.h"

namespace fovea {

// A step of your own training loop: clears the gradients, computes the loss, its gradients and the update. On
// CUDA the first two calls run directly, the third is captured as a graph, and the graph is replayed from
// then on: one launch instead of hundreds.
//   const Tensor images = empty({32, 64, 64, 3}, DType::float32, Device::cuda), labels = ...;
//   CapturedStep step(net, optimizer, [&] { return softmax_cross_entropy(net(images), labels); });
//   for (const auto& batch : ...) {
//     images.copy_from(batch.images);
//     labels.copy_from(batch.labels);
//     const Tensor loss = step();
//   }
// `loss` must submit the same work each time, on tensors whose addresses do not change, and must not read
// what the device computes. Dropout draws new numbers in each step. The module and the optimizer must outlive
// the CapturedStep.
class CapturedStep {
 public:
  CapturedStep(Module& module, Optimizer& optimizer, std::function<Tensor()> loss);
  CapturedStep(const CapturedStep&) = delete;
  CapturedStep& operator=(const CapturedStep&) = delete;

  // Runs one step. The loss is on the module's device, which may still be at work; the next call overwrites
  // it.
  Tensor operator()();

 private:
  void compute();

  Module& module_;
  Optimizer& optimizer_;
  std::function<Tensor()> loss_of_;
  // Dropout draws from the same keys in each step and from the step's number, which the device reads.
  Random rng_;
  int64_t step_;
  std::optional<cuda::Workspace<int64_t>> device_step_;
  cuda::StagedCopy staging_;
  Tensor loss_;
  std::unique_ptr<cuda::Graph> graph_;  // on CUDA
};

}  // namespace fovea
