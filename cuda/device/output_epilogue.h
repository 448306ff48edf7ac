#pragma once
#include <cmath>
#include <cstdint>

#include "cuda/device/sm_80.h"
#include "cuda/device/vector.h"
#include "cuda/kernels/activation.h"

namespace fovea {

// What a kernel that computes a convolution's output, (rows, channels) of float or bfloat16, does for the
// batch norm that follows: it applies the norm, gathers the statistics of what it writes, or neither.
struct OutputEpilogue {
  // For evaluation; null: none. y = f(weight (conv - mean) / sqrt(variance + epsilon) + bias), rounded once,
  // (channels) each. These are the parameters: coefficients would have to be updated whenever they change.
  const float *weight = nullptr, *bias = nullptr, *mean = nullptr, *variance = nullptr;
  float epsilon = 0;
  Activation activation = Activation::identity;

  // For training; null: none. The rows are distributed over chunks in a way that depends only on the sizes: a
  // chunk is what one block computes of its channels in a loop over tiles, so that chunks are few. `rows`
  // (chunks) has the number of rows of each, which may be 0 except in the first; `statistics` (chunks, 2,
  // channels) has the mean of the rounded outputs, and the sum of their squared distances from it.
  int* rows = nullptr;
  float* statistics = nullptr;
};

// y = f(scale * conv + shift) in a thread's N neighbouring channels.
template <int N>
struct OutputNorm {
  float scale[N] = {}, shift[N] = {};

  OutputNorm() = default;
  // Reads the parameters of N channels from `channel` on.
  __device__ OutputNorm(const OutputEpilogue& of, int channel) {
    const auto weight = load_pack<N>(of.weight + channel), bias = load_pack<N>(of.bias + channel),
               mean = load_pack<N>(of.mean + channel), variance = load_pack<N>(of.variance + channel);
    UNROLL for (int k = 0; k < N; ++k) {
      scale[k] = weight.value[k] * (1 / std::sqrt(variance.value[k] + of.epsilon));
      shift[k] = bias.value[k] - mean.value[k] * scale[k];
    }
  }
  // Applies it to several pixels' N channels each, which will be rounded to Stored, with one branch for the
  // activation of all of them, which is usually swish.
  template <class Stored, int Count>
  __device__ void apply(Activation activation, float (&values)[Count]) const {
    UNROLL for (int i = 0; i < Count; ++i) { values[i] = values[i] * scale[i % N] + shift[i % N]; }
#define FOVEA_CASE(name, F)                                                               \
  case Activation::name:                                                                  \
    if constexpr (!std::is_same_v<F, Swish>) EXPECT_SKIPPED(int(Activation::name));       \
    UNROLL for (int i = 0; i < Count; ++i) { values[i] = F::forward<Stored>(values[i]); } \
    return;
    switch (activation) { FOVEA_ACTIVATIONS(FOVEA_CASE) }
#undef FOVEA_CASE
  }
};

// Sums over a chunk in N neighbouring channels. With a pivot p near the values, such as one of them, nothing
// cancels in sum (y - mean)^2 = sum (y - p)^2 - (sum (y - p))^2 / n.
template <int N>
struct OutputSums {
  float pivot[N] = {};
  float values[2 * N] = {};  // sums of distances from the pivot, then of their squares

  // `value` after rounding.
  __device__ void add(int k, float value) {
    const float distance = value - pivot[k];
    values[k] += distance;
    values[N + k] += distance * distance;
  }
  // Adds the sums of `rows` other values, which may have another pivot.
  __device__ void merge(const OutputSums& other, int rows) {
    UNROLL for (int k = 0; k < N; ++k) {
      const float to_other = other.pivot[k] - pivot[k], moved = float(rows) * to_other;
      values[k] += other.values[k] + moved;
      values[N + k] += other.values[N + k] + to_other * (2 * other.values[k] + moved);
    }
  }
  // Called by one thread with the sums of the whole chunk, whose threads share one pivot; 0 without rows.
  __device__ void store(const OutputEpilogue& to, int64_t chunk, int rows, int channel, int channels) const {
    const float n = rows > 0 ? float(rows) : 1.0f;
    Pack<float, N> mean, squares;
    UNROLL for (int k = 0; k < N; ++k) {
      mean.value[k] = pivot[k] + values[k] / n;
      const float distances = values[N + k] - values[k] * values[k] / n;
      squares.value[k] = distances < 0 ? 0 : distances;
    }
    float* of_chunk = to.statistics + 2 * chunk * channels + channel;
    store_pack(of_chunk, mean);
    store_pack(of_chunk + channels, squares);
    if (channel == 0) to.rows[chunk] = rows;
  }
};

// The same for a warp's eight channels of rounded outputs y (pixels, 8), on tensor cores. One multiplication
// takes 16 pixels:
//   (y, 1)^T (16, 16) y (16, 8) = sums of the products of two channels, and of y
// The sums of squares are on the diagonal: lane 4 c + c / 2 has both sums of channel c. Products have no
// pivot, and tensor cores truncate, so a multiplication may lose 2^-24 of a group's sum of squares. With 16
// in a group, that is half of what rounding y to bfloat16 has added to it: ulp^2 / 12, some 2^-19. Across
// groups the sums have a pivot, the first mean.
class ProductSums {
 public:
  // `ones_and_y`: pixels 0 to 7, ones, pixels 8 to 15, ones; `y`: pixels 0 to 7 and 8 to 15. All are turned,
  // as load_matrices<true>() loads them.
  __device__ void add(const uint32_t (&ones_and_y)[4], const uint32_t* y) {
    multiply_add(products_, ones_and_y, y);
  }
  // Ends a group of this many pixels; any others that were added are 0.
  __device__ void end_group(int pixels, bool first, int lane) {
    const bool odd = lane / 4 % 2;
    const float sum = odd ? products_[3] : products_[2], squares = odd ? products_[1] : products_[0];
    if (first && pixels > 0) {
      EXPECT_SKIPPED(1);
      of_channel_.pivot[0] = sum / float(pixels);
    }
    const float distance = sum - float(pixels) * of_channel_.pivot[0];
    of_channel_.values[0] += distance;
    of_channel_.values[1] += squares - of_channel_.pivot[0] * (sum + distance);
    UNROLL for (float& product : products_) { product = 0; }
  }
  // The channel of this lane, or -1.
  __device__ static int channel(int lane) { return lane % 4 == lane / 8 ? lane / 4 : -1; }
  __device__ const OutputSums<1>& of_channel() const { return of_channel_; }

 private:
  OutputSums<1> of_channel_;
  float products_[4] = {};
};

}  // namespace fovea
