#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "cuda/kernels/window.h"

namespace fovea {

// How the bytes of a tensor stand for its numbers: number = scale * (byte - zero). 0 is always one of them,
// so that padding is exact.
struct ByteScale {
  float scale = 1;
  int zero = 0;

  // For numbers from low <= 0 to high >= 0; those beyond take the first or the last byte.
  static ByteScale of_range(float low, float high);
  float number(int byte) const { return scale * float(byte - zero); }
  uint8_t byte(float number) const;
};

// What a layer makes of its sums: byte = round(sum * factor + term), from 0 to 255, of each output channel.
// The half that rounds is part of `term`.
struct ByteOutput {
  std::vector<float> factor, term;
  std::vector<uint8_t> table;  // then table[byte], an activation; or nothing
};

// The weights (inputs, outputs) of a product, int8, in the order in which it reads them: blocks of 16
// outputs, in each groups of four inputs.
class ByteProduct {
 public:
  ByteProduct() = default;
  // weights: inputs x outputs, row by row. zero: the byte that stands for 0 in x.
  ByteProduct(std::span<const int8_t> weights, int64_t inputs, int64_t outputs, int zero);

  // Bytes in a row of x: the inputs, and up to three more, whose value does not matter.
  int64_t row_bytes() const { return groups_ * 4; }
  // y (rows, outputs) from x (rows, row_bytes()): sum over c of (x[c] - zero) w[c, o] in 32 bits, exactly,
  // then what `output` says.
  void operator()(const uint8_t* x, int64_t rows, const ByteOutput& output, uint8_t* y) const;
  // y = sum * factor + term, as float.
  void operator()(const uint8_t* x, int64_t rows, const ByteOutput& output, float* y) const;

 private:
  template <class Y>
  void multiply(const uint8_t* x, int64_t rows, const ByteOutput& output, Y* y) const;

  int64_t outputs_ = 0, groups_ = 0;
  std::vector<int8_t> packed_;
  std::vector<int32_t> start_;  // -zero * the sum of an output's weights
};

// A depthwise convolution of bytes: k x k, any stride and padding.
class ByteDepthwise {
 public:
  ByteDepthwise() = default;
  // weights: k x k x channels. zero: the byte that stands for 0 in x, and around the image.
  ByteDepthwise(std::span<const int8_t> weights, int64_t channels, Window window, int zero);

  // y (images, height', width', channels) from x (images, height, width, channels).
  void operator()(const uint8_t* x, int64_t images, int64_t height, int64_t width, const ByteOutput& output,
                  uint8_t* y) const;

 private:
  void pixel(const uint8_t* const* taps, const ByteOutput& output, uint8_t* y) const;

  int64_t channels_ = 0;
  Window window_;
  int zero_ = 0;
  std::vector<int8_t> weights_;  // k x k x channels; packed_ has them as AVX512-VNNI wants them
  std::vector<int8_t> packed_;
  std::vector<int32_t> start_;
};

// y (images * height' * width', row_bytes) = the windows of x (images, height, width, channels) as rows, each
// filled up with zeros; `zero` lies around the images.
void byte_windows(const uint8_t* x, int64_t images, int64_t height, int64_t width, int64_t channels,
                  Window window, int zero, int64_t row_bytes, uint8_t* y);

// The largest byte of each window; bytes outside the image have no part in it. down, across: the windows
// along the two axes; -> (images, height', width', channels).
void byte_max_pool(const uint8_t* x, int64_t images, int64_t height, int64_t width, int64_t channels,
                   Window down, Window across, uint8_t* y);

// bytes[i] = table[bytes[i]].
void look_up(std::span<const uint8_t> table, uint8_t* bytes, int64_t count);

// y[c] = the byte of sum_i inputs[i][c] * factors[i] + term, for `count` bytes.
void weighted_sum(std::span<const uint8_t* const> inputs, std::span<const float> factors, float term,
                  int64_t count, uint8_t* y);

// y (pixels, channels) = the bytes of x * factor + term, with a factor and a term for each channel.
void scale_channels(const uint8_t* x, int64_t pixels, int64_t channels, const float* factor,
                    const float* term, uint8_t* y);

}  // namespace fovea
