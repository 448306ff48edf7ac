#pragma once
#include <cstdint>

#include "cuda/device/bfloat16.h"
#include "cuda/runtime/process_group.h"

namespace fovea {

// The data to normalise: (images, pixels, channels), channel by channel. The pixels of every image are cut
// into segments, such as the levels of a pyramid side by side; each has its own batch norm over its rows in
// all images. The ordinary batch norm has one segment.
struct BatchNormDims {
  static constexpr int max_segments = 8;
  int64_t images = 1, pixels = 0, channels = 0;
  int segments = 1;
  int64_t size[max_segments] = {};  // pixels of each; they add up to `pixels`

  static BatchNormDims of_matrix(int64_t rows, int64_t channels) { return {1, rows, channels, 1, {rows}}; }
  int64_t rows(int segment) const { return images * size[segment]; }  // over which its statistics run
};

// One batch norm, (channels) each. Null running averages are not updated in training; in a table of gradients
// they are always null.
template <class R>
struct BatchNormParameters {
  R *weight, *bias, *running_mean, *running_variance;
};
template <class R>
struct BatchNormTable {
  BatchNormParameters<R> of[BatchNormDims::max_segments] = {};  // each segment
  R epsilon = 0, momentum = 0;
};

// y = F(x * scale + shift) with these, (segments, channels) each; the backward pass uses mean and
// inverse_std.
template <class R>
struct BatchNormCoefficients {
  R *scale, *shift, *mean, *inverse_std;
};

// Statistics of x that the kernel that made it gathered in chunks of rows, as OutputEpilogue describes
// (cuda/device/output_epilogue.h). No chunks: no statistics.
template <class R>
struct BatchNormChunks {
  int64_t count = 0;
  const int* rows = nullptr;
  const R* statistics = nullptr;
};

namespace cuda {

// x, y, dx, dy are of type T: float, double, bfloat16; everything else is of type R = Accumulator<T>. F: one
// of FOVEA_ACTIVATIONS. With a group (null: none) the rows are those of all its processes, which must have
// equally many. Up to a few thousand rows it is all one launch.

// y = F(x * scale + shift). In training it first writes the coefficients, from mean and biased variance of x,
// and moves the running averages towards those of the batch: running = (1 - momentum) running + momentum
// batch, with the variance times rows / (rows - 1). Otherwise it uses the running averages. For float and
// bfloat16, one segment and one process, statistics may be given: x is then read once.
template <class F, class T>
void batch_norm_forward(const T* x, const BatchNormTable<Accumulator<T>>& norms, bool training,
                        ProcessGroup* group, const BatchNormCoefficients<Accumulator<T>>& coefficients, T* y,
                        const BatchNormDims& dims, const BatchNormChunks<Accumulator<T>>& given);
// Only the coefficients, and in training the running averages, for one segment and one process: one launch.
template <class T>
void batch_norm_coefficients(const T* x, const BatchNormTable<Accumulator<T>>& norms, bool training,
                             const BatchNormCoefficients<Accumulator<T>>& coefficients,
                             const BatchNormDims& dims, const BatchNormChunks<Accumulator<T>>& given);
// Whether one process does it all in one launch, with numbers of so many bytes: statistics would not help.
bool batch_norm_is_one_launch(const BatchNormDims& dims, int bytes);

// Writes dx and the parameters' gradients; in training they include the terms of mean and variance.
template <class F, class T>
void batch_norm_backward(const T* x, const T* dy, const BatchNormCoefficients<Accumulator<T>>& coefficients,
                         bool training, ProcessGroup* group, T* dx,
                         const BatchNormTable<Accumulator<T>>& gradients, const BatchNormDims& dims);
// All of that but dx = scale g - constant - x slope, whose last two it writes, (segments, channels) each.
template <class F, class T>
void batch_norm_gradient_sums(const T* x, const T* dy,
                              const BatchNormCoefficients<Accumulator<T>>& coefficients, bool training,
                              ProcessGroup* group, Accumulator<T>* constant, Accumulator<T>* slope,
                              const BatchNormTable<Accumulator<T>>& gradients, const BatchNormDims& dims);

}  // namespace cuda
}  // namespace fovea
