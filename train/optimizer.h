#pragma once
#include <vector>

#include "nn/module.h"
#include "train/pieces.h"

namespace fovea {

struct OptimizerOptions {
  enum class Kind { sgd, adamw };
  Kind kind = Kind::sgd;
  double momentum = 0.9;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;  // of AdamW
  double weight_decay =
      4e-5;  // of kernels (tensors of rank 2 and more), never of biases, norms and fusion weights
  double clip_norm =
      10;  // gradients whose norm over all parameters is greater are scaled down to it; 0: never
};

// SGD with momentum:  g += decay w;  m = momentum m + g;  w -= rate m                          (as in the
// EfficientDet code) AdamW:              m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  w -= rate (m' /
// (sqrt(v') + eps) + decay w)   (1711.05101) with m', v' divided by 1 - b^t. All sums have a fixed order.
class Optimizer {
 public:
  Optimizer(std::vector<NamedTensor> parameters, const OptimizerOptions& options);

  // One update from the gradients of the parameters; one without a gradient stays as it is. `step` counts
  // from 0. Returns the norm of all gradients before clipping; where that is not finite nothing is changed.
  double update(int64_t step, double learning_rate);

  // What a checkpoint must hold besides the weights: "<parameter>.momentum" and, for AdamW,
  // "<parameter>.variance".
  std::vector<NamedTensor> state() const;

 private:
  double gradient_norm() const;

  OptimizerOptions options_;
  std::vector<NamedTensor> parameters_;
  Pieces pieces_;
  std::vector<Tensor> momentum_, variance_;
};

}  // namespace fovea
