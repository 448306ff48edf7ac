#pragma once
#include <cstdint>

#include "core/autograd.h"
#include "core/random.h"

namespace fovea {

// Random removal in training. The mask is a pure function of `key` (Random::next_random_key, or just a
// number) and the index, by Philox: the same on every device and for any number of threads, and generated
// again in the backward pass, not stored; key.step, if there is one, lies on the tensor's device and must not
// have changed by then. Survivors are divided by 1 - p, which keeps the mean. p must be in [0, 1), or they
// throw; with p = 0 each is the identity (or the plain sum). The gradient has the same mask and factor.

// Drops single elements (JMLR 15, 2014).
Tensor dropout(const Tensor& x, double p, RandomKey key);

// Drops whole samples (axis 0): stochastic depth (arXiv 1603.09382), "drop connect" in EfficientNet's code.
Tensor stochastic_depth(const Tensor& x, double p, RandomKey key);

// shortcut + stochastic_depth(branch), in one pass: the end of a residual block. Throws if the two differ in
// shape, dtype or device.
Tensor stochastic_depth_add(const Tensor& branch, const Tensor& shortcut, double p, RandomKey key);

}  // namespace fovea
