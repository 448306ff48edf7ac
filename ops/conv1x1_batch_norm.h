#pragma once
#include "ops/batch_norm.h"

namespace fovea {

// batch_norm(conv1x1(x, w)), for which x and w (Cin, Cout) are those of conv1x1() without a bias, the norm
// and its options those of batch_norm(): the first convolution of an inverted bottleneck (arXiv 1801.04381)
// in training. With z = x w, one op computes the gradients of both:
//   dz = scale dy f'(z scale + shift) - constant - z slope (batch_norm.h), dx = dz w^T, dw = x^T dz
// It computes dz where the products need it and does not write it to memory. Where the wide matrices dy and z
// are much larger than x, that is 4 passes over them instead of 7 (on the CPU 5 instead of 7). Forward is the
// two ops. Where one op would not be faster, or one of the two gradients is not wanted, and while a
// TapeObserver needs the whole graph, backward is, too; it gives the same numbers within rounding. Throws as
// the two ops do.
Tensor conv1x1_batch_norm(const Tensor& x, const Tensor& w, const BatchNormTensors& norm,
                          const BatchNormOptions& options);

// The same for the levels of a pyramid x (N, P, Cin), whose segments have a norm each, as batch_norm() has
// them. The CPU computes it as two ops.
Tensor conv1x1_batch_norm(const Tensor& x, const Tensor& w, const std::vector<int64_t>& segments,
                          const std::vector<BatchNormTensors>& norms, const BatchNormOptions& options);

}  // namespace fovea
