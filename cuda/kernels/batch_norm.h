#pragma once
#include <cstdint>

#include "cuda/device/bfloat16.h"
#include "cuda/runtime/process_group.h"

namespace fovea {

// What is normalised: (images, pixels, channels), channel by channel. The pixels of every image are cut into
// segments, each with a batch norm of its own over its rows of all images: the levels of a pyramid that lie
// side by side. The ordinary batch norm has one segment.
struct BatchNormDims {
  static constexpr int max_segments = 8;
  int64_t images = 1, pixels = 0, channels = 0;
  int segments = 1;
  int64_t size[max_segments] = {};  // pixels of each; they add up to `pixels`

  static BatchNormDims of_matrix(int64_t rows, int64_t channels) { return {1, rows, channels, 1, {rows}}; }
  int64_t rows(int segment) const { return images * size[segment]; }  // that its statistics run over
};

// One batch norm, (channels) each. Running averages that are null are not updated in
// training; in a table of gradients they are always null.
template <class R>
struct BatchNormParameters {
  R *weight, *bias, *running_mean, *running_variance;
};
template <class R>
struct BatchNormTable {
  BatchNormParameters<R> of[BatchNormDims::max_segments] = {};  // each segment
  R epsilon = 0, momentum = 0;
};

// y = F(x * scale + shift) with these (segments, channels) each; mean and inverse_std are for the backward
// pass.
template <class R>
struct BatchNormCoefficients {
  R *scale, *shift, *mean, *inverse_std;
};

// Statistics of x that the kernel which made it has gathered in chunks of its rows, as OutputEpilogue says
// (cuda/device/output_epilogue.h). No chunks: none.
template <class R>
struct BatchNormChunks {
  int64_t count = 0;
  const int* rows = nullptr;
  const R* statistics = nullptr;
};

namespace cuda {

// x, y, dx, dy of type T: float, double, bfloat16; all else of type R = Accumulator<T>. F: one of
// FOVEA_ACTIVATIONS. With a group (null: none) the rows are those of all its processes, which must have
// equally many. Up to a few thousand rows all is one launch.

// y = F(x * scale + shift). In training it first writes the coefficients, from mean and biased variance of x,
// and moves the running averages towards the batch's: running = (1 - momentum) running + momentum batch, the
// variance as rows / (rows - 1) times the batch's. Otherwise from the running averages. Statistics may be
// given for float and bfloat16, one segment and one process: x is then read once.
template <class F, class T>
void batch_norm_forward(const T* x, const BatchNormTable<Accumulator<T>>& norms, bool training,
                        ProcessGroup* group, const BatchNormCoefficients<Accumulator<T>>& coefficients, T* y,
                        const BatchNormDims& dims, const BatchNormChunks<Accumulator<T>>& given);
// Whether in one process all is one launch, with packs of so many channels: statistics would not help.
bool batch_norm_is_one_launch(const BatchNormDims& dims, int pack);

// Writes dx and the parameters' gradients; in training mean and variance carry gradient.
template <class F, class T>
void batch_norm_backward(const T* x, const T* dy, const BatchNormCoefficients<Accumulator<T>>& coefficients,
                         bool training, ProcessGroup* group, T* dx,
                         const BatchNormTable<Accumulator<T>>& gradients, const BatchNormDims& dims);

}  // namespace cuda
}  // namespace fovea
