#pragma once
#include <cstdint>

#include "core/autograd.h"

namespace fovea {

// Random removal in training. The mask is a pure function of `key` (Random::next_key) and the index, by
// Philox: the same on every device and for any number of threads, and made again in the backward pass instead
// of stored. Survivors are divided by 1 - p, so that means stay. p in [0, 1); with p = 0 each is the identity
// (or the plain sum).

// Elements one by one (JMLR 15, 2014).
Tensor dropout(const Tensor& x, double p, uint64_t key);

// Whole samples (axis 0): stochastic depth (arXiv 1603.09382), "drop connect" in EfficientNet's code.
Tensor stochastic_depth(const Tensor& x, double p, uint64_t key);

// shortcut + stochastic_depth(branch), in one pass: the end of a residual block.
Tensor stochastic_depth_add(const Tensor& branch, const Tensor& shortcut, double p, uint64_t key);

}  // namespace fovea
