#pragma once
#include "core/tensor.h"

namespace fovea {

// The published initialisers. Fans of a convolution weight in our layouts: dense (k, k, in, out), pointwise
// (in, out), depthwise (k, k, C), whose fan_in is k * k. They throw on other ranks.

// normal(0, sqrt(2 / fan_out)), fan_out = k * k * out / groups: every convolution of EfficientNet
// (tpu/efficientnet).
Tensor init_fan_out_normal(Shape shape, Random& random);
// normal(0, sqrt(1 / fan_in)): the separable convolutions of EfficientDet's heads (effdet _variance_scaling).
Tensor init_fan_in_normal(Shape shape, Random& random);
// uniform(-sqrt(6 / (fan_in + fan_out)), +): Glorot, the convolutions of the BiFPN (effdet _glorot_uniform).
Tensor init_glorot_uniform(Shape shape, Random& random);
// uniform(-1/sqrt(out), 1/sqrt(out)): the classifier, weight (in, out).
Tensor init_classifier(Shape shape, Random& random);

// The initialisers of convolutions by name.
enum class Init { fan_out_normal, fan_in_normal, glorot_uniform };
// By the function of that name.
Tensor initialize(Init init, Shape shape, Random& random);

}  // namespace fovea
