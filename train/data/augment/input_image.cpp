#include "train/data/augment/input_image.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "cuda/kernels/prepare_images.h"
#include "cuda/runtime/memory.h"

namespace fovea {
namespace {

constexpr int64_t alignment = 16;  // of each thing in the bytes
constexpr int64_t most_parts = 4;  // of an image: a mosaic's

// Bytes of an image's pixels in the input, times two.
int64_t room_for(int64_t pixels) { return 2 * pixels * 3 * int64_t(sizeof(float)); }

int64_t bytes_of(const TriangleFilter& filter) {
  return int64_t(filter.first.size() * sizeof(int32_t) + filter.weights.size() * sizeof(float));
}

}  // namespace

PackedImages::PackedImages(const Shape& shape, DType dtype)
    : shape_(shape), dtype_(dtype), used_(shape[0] * most_parts * int64_t(sizeof(ImageJob))) {
  constexpr int64_t things = 5, padding = most_parts * things * alignment;
  bytes_ = Tensor({used_ + shape[0] * (room_for(shape[1] * shape[2]) + padding)}, DType::uint8);
}

std::byte* PackedImages::append(int64_t size, int64_t* offset) {
  *offset = (used_ + alignment - 1) / alignment * alignment;
  used_ = *offset + size;
  require(used_ <= bytes_.bytes(), "[PackedImages] an image has more than {} parts", most_parts);
  return bytes_.raw() + *offset;
}

void PackedImages::add(int64_t index, const Image& image, const Resampling& how) {
  const int64_t pixels = int64_t(how.width) * how.height;
  const TriangleFilter across = triangle_filter(image.width, how.columns),
                       down = triangle_filter(image.height, how.rows);
  const int64_t width = across.end - across.begin, height = down.end - down.begin;
  ImageJob job{};
  job.image = int32_t(index);
  job.across = {how.left, how.width, how.columns.count, across.taps, 0, 0};
  job.down = {how.top, how.height, how.rows.count, down.taps, 0, 0};
  if (width * height * 3 + bytes_of(across) + bytes_of(down) > room_for(pixels)) {
    Resampling alone = how;
    alone.left = alone.top = 0;
    alone.input_width = how.width;
    job.across.taps = 0;
    resample(image, alone,
             reinterpret_cast<float*>(append(pixels * 3 * int64_t(sizeof(float)), &job.source)));
  } else {
    const auto add_filter = [&](const TriangleFilter& filter, ImageJob::Axis& axis) {
      auto* first =
          reinterpret_cast<int32_t*>(append(int64_t(filter.first.size() * sizeof(int32_t)), &axis.first));
      for (const int32_t source : filter.first) *first++ = source - filter.begin;
      const int64_t weights = int64_t(filter.weights.size() * sizeof(float));
      std::memcpy(append(weights, &axis.weights), filter.weights.data(), size_t(weights));
    };
    add_filter(across, job.across);
    add_filter(down, job.down);
    job.source_width = int32_t(width);
    std::byte* rows = append(width * height * 3, &job.source);
    for (int64_t y = 0; y < height; ++y)
      std::memcpy(rows + y * width * 3, image.at(across.begin, down.begin + int(y)), size_t(width) * 3);
    job.changes_colours = how.colours.has_value();
    for (size_t c = 0; c < 3; ++c) {
      for (size_t k = 0; how.colours && k < 3; ++k) job.colours[c][k] = float(how.colours->matrix[c][k]);
      if (how.colours) job.colours[c][3] = float(how.colours->offset[c]);
      job.gain[c] = how.normalization.gain(c);
      job.shift[c] = how.normalization.shift(c);
    }
  }
  std::memcpy(bytes_.raw() + jobs_++ * int64_t(sizeof job), &job, sizeof job);
  largest_ = std::max(largest_, pixels);
}

void PackedImages::unpack(const Tensor& bytes_on_device, const Tensor& input) const {
  const auto prepare = [&]<class T>() {
    cuda::prepare_images(bytes_on_device.raw(), jobs_, largest_, input.data<T>(), int(shape_[1]),
                         int(shape_[2]));
  };
  dtype_ == DType::bfloat16 ? prepare.operator()<bfloat16>() : prepare.operator()<float>();
}

void InputImage::check(int height, int width) const {
  if (packed_) {
    require(packed_->shape() == Shape{packed_->shape()[0], height, width, 3},
            "[augment] the output is {} x {} pixels of a batch of {}", width, height, packed_->shape());
    return;
  }
  require(height >= 1 && width >= 1 && pixels_.size() == size_t(height) * size_t(width) * 3,
          "[augment] the output is {} x {} pixels in {} floats: give at least one pixel, 3 floats each",
          width, height, pixels_.size());
}

void InputImage::draw(const Image& image, const Resampling& how) const {
  Resampling normalized = how;
  normalized.normalization = normalization_;
  if (packed_) return packed_->add(index_, image, normalized);
  resample(image, normalized, pixels_.data());
}

std::array<uint8_t, 3> InputImage::background() const {
  std::array<uint8_t, 3> colour;
  for (size_t c = 0; c < 3; ++c) colour[c] = uint8_t(std::lround(255 * normalization_.mean[c]));
  return colour;
}

InputBatch::InputBatch(const Shape& shape, DType dtype, Device device, const Normalization& network)
    : normalization(network) {
  if (device == Device::cuda)
    packed = std::make_shared<PackedImages>(shape, dtype);
  else
    pixels = Tensor(shape);
}

InputImage InputBatch::image(int64_t index) const {
  if (packed) return {*packed, index, normalization};
  const int64_t numbers = pixels.numel() / pixels.size(0);
  return {pixels.span<float>().subspan(size_t(index * numbers), size_t(numbers)), normalization};
}

Tensor InputBatch::on_device() const {
  if (!packed) return pixels;
  const Tensor bytes({packed->bytes().numel()}, DType::uint8, Device::cuda), input = packed->empty_input();
  cuda::copy_to_device(bytes.raw(), packed->bytes().raw(), size_t(packed->used()));
  packed->unpack(bytes, input);
  return input;
}

}  // namespace fovea
