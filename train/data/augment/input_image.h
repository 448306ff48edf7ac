#pragma once
#include <array>
#include <concepts>
#include <cstdint>
#include <memory>
#include <span>

#include "core/tensor.h"
#include "train/data/augment/resample.h"

namespace fovea {

// The images of a batch on their way to a network on CUDA: their bytes as they were decoded, and how each
// becomes a part of the input, which one kernel does there (cuda/kernels/prepare_images.h). An image whose
// bytes are more than twice those of its part of the input in float32 is prepared here and travels as
// float32: a batch of large photographs must not fill the memory.
class PackedImages {
 public:
  // They become (N, H, W, 3) of float32 or bfloat16.
  PackedImages(const Shape& shape, DType dtype);

  const Shape& shape() const { return shape_; }                        // of the input
  void add(int64_t index, const Image& image, const Resampling& how);  // a part of input `index`

  // What is to be brought to the device, `used` bytes at the beginning of a tensor that has as many in every
  // batch of this shape.
  const Tensor& bytes() const { return bytes_; }
  int64_t used() const { return used_; }
  Tensor empty_input() const { return Tensor(shape_, dtype_, Device::cuda); }  // for unpack()
  // Asks the device to make the input of these bytes, and does not wait. Each pixel must have been drawn.
  void unpack(const Tensor& bytes_on_device, const Tensor& input) const;

 private:
  std::byte* append(int64_t size, int64_t* offset);

  Shape shape_;
  DType dtype_;
  Tensor bytes_;
  int64_t used_, jobs_ = 0, largest_ = 0;  // pixels of the largest part
};

// One image of a network's input, to be drawn by the functions of augment.h: float32 pixels (height x width x
// 3) in host memory, or an entry of PackedImages.
class InputImage {
 public:
  // In memory that outlives it.
  template <std::convertible_to<std::span<float>> Pixels>
  InputImage(Pixels&& pixels, const Normalization& normalization = {})
      : pixels_(pixels), normalization_(normalization) {}
  // An entry of a batch that travels as bytes.
  InputImage(PackedImages& packed, int64_t index, const Normalization& normalization = {})
      : packed_(&packed), index_(index), normalization_(normalization) {}

  void check(int height, int width) const;  // throws Error where it is not of this size, or has no pixel
  void draw(const Image& image, const Resampling& how) const;  // a part of it, normalised
  const Normalization& normalization() const { return normalization_; }
  std::array<uint8_t, 3> background() const;  // the mean colour: what is nearest to 0 when normalised

 private:
  std::span<float> pixels_;
  PackedImages* packed_ = nullptr;
  int64_t index_ = 0;
  Normalization normalization_;
};

// A batch of a network's input, of one of the two kinds: what suits its device.
struct InputBatch {
  Tensor pixels;                         // (N, H, W, 3)
  std::shared_ptr<PackedImages> packed;  // in its place for a network on CUDA
  Normalization normalization;           // of its network

  InputBatch(const Tensor& pixels_on_host) : pixels(pixels_on_host) {}  // float32
  // dtype: that of one on CUDA.
  InputBatch(const Shape& shape, DType dtype, Device device, const Normalization& network = {});
  InputImage image(int64_t index) const;  // to be drawn
  Tensor on_device() const;               // for which the host may wait
};

}  // namespace fovea
