#include "train/detection/captured_detection.h"

#include <algorithm>

namespace fovea {

CapturedDetection::CapturedDetection(Network network, const Tensor& anchors, int64_t classes,
                                     const Shape& images, DType dtype, const DetectOptions& options)
    : network_(std::move(network)),
      anchors_(anchors),
      images_(images, dtype, Device::cuda),
      boxes_(images[0], anchors.size(0), classes, options) {}

void CapturedDetection::load(const Tensor& images, std::span<const ImageFrame> frames) {
  images_.copy_from(images);
  boxes_.load(frames);
}

void CapturedDetection::compute() {
  const NoGrad no_grad;
  const DetectorOutput output = network_(images_);
  boxes_.compute(output.class_logits, output.box_codes, anchors_);
}

std::vector<std::vector<Detection>> CapturedDetection::detect(const Tensor& images,
                                                              std::span<const ImageFrame> frames) {
  load(images, frames);
  graph_.run([this] { compute(); }, [] {});
  return read();
}

CapturedDetection& CapturedDetections::of(const Tensor& images, const DetectOptions& options) {
  const Kind kind{images.shape(), images.dtype(), options, &cuda::current_stream()};
  const auto found =
      std::find_if(latest_.begin(), latest_.end(), [&](const Entry& entry) { return entry.kind == kind; });
  if (found != latest_.end()) {
    latest_.splice(latest_.begin(), latest_, found);
  } else {
    if (latest_.size() == most) latest_.pop_back();  // before the new one takes memory
    latest_.emplace_front(kind, *this);
  }
  return latest_.front().detection;
}

}  // namespace fovea
