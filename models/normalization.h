#pragma once
#include <array>
#include <cstddef>

namespace fovea {

// The normalization of a network's images: (byte / 255 - mean) / deviation, for red, green and blue. The
// default is the statistics of ImageNet, with which timm's and effdet's networks were trained.
struct Normalization {
  std::array<float, 3> mean{0.485f, 0.456f, 0.406f}, deviation{0.229f, 0.224f, 0.225f};

  // The same as one multiply-add: byte * gain + shift.
  constexpr float gain(size_t channel) const { return 1 / (255 * deviation[channel]); }
  constexpr float shift(size_t channel) const { return -mean[channel] / deviation[channel]; }
};

// (byte - 127) / 128, for the lite networks (github.com/tensorflow/tpu, models/official/efficientnet/lite).
inline constexpr Normalization lite_normalization{{127 / 255.0f, 127 / 255.0f, 127 / 255.0f},
                                                  {128 / 255.0f, 128 / 255.0f, 128 / 255.0f}};

}  // namespace fovea
