#pragma once
#include <cstdint>

#include "core/autograd.h"
#include "core/random.h"

namespace fovea {

// Random removal in training. The mask is a pure function of `key` (Random::next_random_key, or just a
// number) and the index, by Philox: the same on every device and for any number of threads, and made again in
// the backward pass instead of stored; key.step, where there is one, lies on the tensor's device and must
// not have changed by then. Survivors are divided by 1 - p, so that means stay. p in [0, 1), throws
// otherwise; with p = 0 each is the identity (or the plain sum). The gradient has the same mask and factor.

// Elements one by one (JMLR 15, 2014).
Tensor dropout(const Tensor& x, double p, RandomKey key);

// Whole samples (axis 0): stochastic depth (arXiv 1603.09382), "drop connect" in EfficientNet's code.
Tensor stochastic_depth(const Tensor& x, double p, RandomKey key);

// shortcut + stochastic_depth(branch), in one pass: the end of a residual block. Throws where the two are not
// of one shape, dtype and device.
Tensor stochastic_depth_add(const Tensor& branch, const Tensor& shortcut, double p, RandomKey key);

}  // namespace fovea
