#pragma once
#include "core/tensor.h"

namespace fovea {

// The published initialisers. Fans refer to weights in our layouts: linear and pointwise (in, out), dense (k,
// k, in, out), depthwise (k, k, C), whose fan_in is k * k. They throw on other ranks.

// normal(0, sqrt(2 / fan_out)), fan_out = k * k * out / groups: every convolution of EfficientNet
// (tpu/efficientnet).
Tensor init_fan_out_normal(Shape shape, Random& random);
// normal(0, sqrt(1 / fan_in)): the separable convolutions of EfficientDet's heads (effdet _variance_scaling).
Tensor init_fan_in_normal(Shape shape, Random& random);
// uniform(-sqrt(6 / (fan_in + fan_out)), +): Glorot, the convolutions of the BiFPN (effdet _glorot_uniform).
Tensor init_glorot_uniform(Shape shape, Random& random);
// uniform(-1/sqrt(fan_in), +): PyTorch's default, which it writes as kaiming_uniform_ with a = sqrt(5)
// (torch.nn.Linear.reset_parameters).
Tensor init_fan_in_uniform(Shape shape, Random& random);
// uniform(-1/sqrt(fan_out), +): EfficientNet's classifier (tpu/efficientnet, dense_kernel_initializer).
Tensor init_fan_out_uniform(Shape shape, Random& random);

// The initialisers by name.
enum class Init { fan_out_normal, fan_in_normal, glorot_uniform, fan_in_uniform, fan_out_uniform };
// Calls the initialiser of that name.
Tensor initialize(Init init, Shape shape, Random& random);

}  // namespace fovea
