#pragma once
#include "ops/batch_norm.h"

namespace fovea {

// squeeze_excite(batch_norm(x)), for which x (N, H, W, C), the norm, its options and the statistics of x are
// those of batch_norm(), and the layers those of squeeze_excite(): the middle of a mobile inverted bottleneck
// in training (arXiv 1905.11946). With the swish as activation and in one process it is one op, which keeps
// only x and does not write the normalised activation u to memory:
//   y = u sigmoid(swish(mean(u) w_reduce + b_reduce) w_expand + b_expand), u = swish(x scale + shift)
// In passes over memory, forward takes 3 and backward 5 (on the CPU 7), where the two ops take 5 and 9 (10).
// Otherwise, and while a TapeObserver needs the whole graph, it calls the two ops, and so gives the same
// numbers within rounding. Throws as they do.
Tensor batch_norm_squeeze_excite(const Tensor& x, const BatchNormTensors& norm,
                                 const BatchNormOptions& options, const ChannelStatistics* statistics,
                                 const Tensor& w_reduce, const Tensor& b_reduce, const Tensor& w_expand,
                                 const Tensor& b_expand);

}  // namespace fovea
