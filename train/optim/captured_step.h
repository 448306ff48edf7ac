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

// A training step of one's own: clears the gradients, computes the loss, its gradients and the update. On
// CUDA the first two calls run as they are, the third is captured as a graph, and from then on it is
// replayed: one launch in place of hundreds.
//   const Tensor images = empty({32, 64, 64, 3}, DType::float32, Device::cuda), labels = ...;
//   CapturedStep step(net, optimizer, [&] { return softmax_cross_entropy(net(images), labels); });
//   for (const auto& batch : ...) {
//     images.copy_from(batch.images);
//     labels.copy_from(batch.labels);
//     const Tensor loss = step();
//   }
// `loss` must ask for the same work each time, from tensors that stay where they are, and must not read what
// the device computes. Dropout draws other numbers in each step. The module and the optimizer must outlive
// it.
class CapturedStep {
 public:
  CapturedStep(Module& module, Optimizer& optimizer, std::function<Tensor()> loss);
  CapturedStep(const CapturedStep&) = delete;
  CapturedStep& operator=(const CapturedStep&) = delete;

  // One step. The loss lies on the module's device, which may still be at work; the next call overwrites it.
  Tensor operator()();

 private:
  void compute();

  Module& module_;
  Optimizer& optimizer_;
  std::function<Tensor()> loss_of_;
  // Dropout draws by the same keys in each step, and by the step's number, which is read where it runs.
  Random rng_;
  int64_t step_;
  std::optional<cuda::Workspace<int64_t>> device_step_;
  cuda::StagedCopy staging_;
  Tensor loss_;
  std::unique_ptr<cuda::Graph> graph_;  // on CUDA
};

}  // namespace fovea
