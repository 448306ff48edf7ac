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
  uint8_t byte(float number) const;  // round(number / scale) + zero
};

// What a convolution makes of its sums: number = (sum + bias) * factor of the output channel, and
// byte = table[round(number) + zero]. Here and below a half is rounded to the even neighbour, and what is
// beyond 0 and 255 becomes these, as ONNX's QuantizeLinear has it.
struct ByteOutput {
  std::vector<float> factor;   // of each output channel
  std::vector<int32_t> bias;   // likewise; or nothing
  int zero = 0;                // of bytes; float outputs do not read it
  std::vector<uint8_t> table;  // 256 bytes, an activation; or nothing
};

// Each pixel's channels before a 1x1 convolution: byte = round((x - from_zero) * factor) + zero, of one
// image.
struct ByteGate {
  ByteGate(std::span<const float> factor_of_channels, int from_zero, int zero);

  std::vector<float> factor;  // the channels', repeated until whole vectors hold them
  int from_zero, zero;
};

// A convolution of bytes: k x k, any stride and padding.
class ByteConv2d {
 public:
  ByteConv2d() = default;
  // weights: k x k x inputs x outputs. zero: the byte that stands for 0 in x, and around the image.
  ByteConv2d(std::span<const int8_t> weights, int64_t inputs, int64_t outputs, Window window, int zero,
             const ByteOutput& output);

  // y (images, height', width', outputs) from x (images, height, width, inputs): sums of (x - zero) w in 32
  // bits, exactly, then what `output` says. gates: one for each image, or none.
  void operator()(const uint8_t* x, int64_t images, int64_t height, int64_t width,
                  std::span<const ByteGate> gates, uint8_t* y) const;
  // y = (sum + bias) * factor, as float.
  void operator()(const uint8_t* x, int64_t images, int64_t height, int64_t width,
                  std::span<const ByteGate> gates, float* y) const;

 private:
  template <class Y>
  void convolve(const uint8_t* x, int64_t images, int64_t height, int64_t width,
                std::span<const ByteGate> gates, Y* y) const;
  template <class Y>
  void windows(const uint8_t* x, int64_t step, std::span<const int64_t> offsets, int64_t count, Y* y) const;

  int64_t inputs_ = 0, outputs_ = 0, row_groups_ = 0;  // groups of four bytes in a window's row
  Window window_;
  int zero_ = 0, out_zero_ = 0;
  std::vector<int8_t> weights_;  // 64 outputs at a time: of each group, the four bytes of each output
  std::vector<int32_t> start_;   // bias - zero * the sum of an output's weights
  std::vector<float> factor_;
  std::vector<uint8_t> table_;
};

// A depthwise convolution of bytes: k x k, any stride and padding.
class ByteDepthwise {
 public:
  ByteDepthwise() = default;
  // weights: k x k x channels. zero: the byte that stands for 0 in x, and around the image.
  ByteDepthwise(std::span<const int8_t> weights, int64_t channels, Window window, int zero,
                const ByteOutput& output);

  // y (images, height', width', channels) from x (images, height, width, channels). sums (images, channels):
  // the bytes of y, summed over each image; null: not wanted.
  void operator()(const uint8_t* x, int64_t images, int64_t height, int64_t width, uint8_t* y,
                  int32_t* sums) const;

 private:
  void positions(const uint8_t* const* taps, int64_t at, int64_t count, uint8_t* y) const;

  int64_t channels_ = 0, groups_ = 0;  // groups of four taps
  // Positions are computed 64 at a time: of one pixel, or of a whole row where the windows of neighbours are
  // beside each other. Then the weights recur after a period.
  int64_t period_ = 0;
  bool whole_rows_ = false;
  Window window_;
  int zero_ = 0, out_zero_ = 0;
  std::vector<int8_t> weights_;
  std::vector<int32_t> start_;
  std::vector<float> factor_;
  std::vector<uint8_t> table_;
};

// One row, to (width', channels), of the largest byte of each window of x (height, width, channels); bytes
// outside the image have no part in it. down, across: the windows along the two axes; i: the row, 0 to
// height' - 1.
void byte_max_pool_row(const uint8_t* x, int64_t height, int64_t width, int64_t channels, Window down,
                       Window across, int64_t i, uint8_t* to);

// bytes[i] = table[bytes[i]].
void look_up(std::span<const uint8_t> table, uint8_t* bytes, int64_t count);

// y[i] = round(x[i] * factor) + zero.
void to_bytes(const float* x, int64_t count, float factor, int zero, uint8_t* y);

// y[c] = round(sum_i (inputs[i][c] - zeros[i]) * factors[i]) + zero, for `count` bytes.
void weighted_sum(std::span<const uint8_t* const> inputs, std::span<const int> zeros,
                  std::span<const float> factors, int zero, int64_t count, uint8_t* y);

// What a gate makes of `count` bytes, from a first channel on.
void apply(const ByteGate& gate, const uint8_t* x, int64_t count, uint8_t* y);

}  // namespace fovea
