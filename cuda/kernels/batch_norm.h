#pragma once
#include <cstdint>

#include "cuda/device/bfloat16.h"
#include "cuda/runtime/process_group.h"

namespace fovea {

// The matrix that is normalised column by column.
struct BatchNormDims {
  int64_t rows = 0;  // N * H * W: what the statistics run over
  int64_t channels = 0;
};

// y = F(x * scale + shift) with these (channels each); mean and inverse_std are for the backward pass.
template <class R>
struct BatchNormCoefficients {
  R *scale, *shift, *mean, *inverse_std;
};

namespace cuda {

// x, y, dx, dy (rows, channels) of type T: float, double, bfloat16; all else (channels) of type R =
// Accumulator<T>.

// Writes the coefficients from mean and biased variance of x, and moves the running averages towards the
// batch's: running = (1 - momentum) running + momentum batch, the variance as rows / (rows - 1) times the
// batch's; where both are null, it writes only the coefficients. With a group (null: none) the rows are those
// of all its processes, which must have equally many.
template <class T>
void batch_norm_coefficients(const T* x, const Accumulator<T>* weight, const Accumulator<T>* bias,
                             Accumulator<T>* running_mean, Accumulator<T>* running_variance, double epsilon,
                             double momentum, ProcessGroup* group,
                             const BatchNormCoefficients<Accumulator<T>>& coefficients, BatchNormDims dims);
// Writes the coefficients from the running averages.
template <class R>
void batch_norm_running_coefficients(const R* weight, const R* bias, const R* running_mean,
                                     const R* running_variance, double epsilon,
                                     const BatchNormCoefficients<R>& coefficients, int64_t channels);

// y = F(x * scale + shift). F: one of FOVEA_ACTIVATIONS.
template <class F, class T>
void batch_norm_normalize(const T* x, const Accumulator<T>* scale, const Accumulator<T>* shift, T* y,
                          BatchNormDims dims);

// Writes dx, dweight and dbias; mean and variance carry gradient where they are the batch's own, then over
// the rows of all processes of the group.
template <class F, class T>
void batch_norm_backward(const T* x, const T* dy, const BatchNormCoefficients<Accumulator<T>>& coefficients,
                         bool batch_statistics, ProcessGroup* group, T* dx, Accumulator<T>* dweight,
                         Accumulator<T>* dbias, BatchNormDims dims);

}  // namespace cuda
}  // namespace fovea
