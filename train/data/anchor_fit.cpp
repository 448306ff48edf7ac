#include "train/data/anchor_fit.h"

#include <algorithm>
#include <cmath>

#include "core/parallel.h"

namespace fovea {

std::array<int, 2> suited_image_size(const std::vector<const LabelledImage*>& images, int longer_side) {
  constexpr double multiple = 32, alike = 1.1, most = 0.75;
  std::vector<double> aspects;  // width / height
  for (const LabelledImage* image : images)
    if (image->width > 0 && image->height > 0) aspects.push_back(double(image->width) / image->height);
  if (aspects.empty()) return {longer_side, longer_side};
  std::nth_element(aspects.begin(), aspects.begin() + long(aspects.size() / 2), aspects.end());
  const double median = aspects[aspects.size() / 2];
  const auto near = std::count_if(aspects.begin(), aspects.end(),
                                  [&](double a) { return a < median * alike && a * alike > median; });
  if (double(near) < most * double(images.size())) return {longer_side, longer_side};
  const auto side = [&](double share) {
    return std::min(longer_side, int(std::ceil(longer_side * share / multiple - 1e-9) * multiple));
  };
  return {side(std::min(1.0, 1 / median)), side(std::min(1.0, median))};
}

std::array<int, 2> suited_image_size(const DetectionDataset& dataset, int longer_side) {
  std::vector<const LabelledImage*> images;
  for (const LabelledImage& image : dataset.images) images.push_back(&image);
  return suited_image_size(images, longer_side);
}

double InputBox::side() const { return std::sqrt(width * height); }

InputBox to_input(const Annotation& a, const LabelledImage& image, int height, int width) {
  const double scale = std::min(double(height) / image.height, double(width) / image.width);
  return {a.x * scale, a.y * scale, a.width * scale, a.height * scale};
}

AnchorCover::AnchorCover(int height, int width, const AnchorOptions& options) {
  for (const LevelSize& level : level_sizes(height, width, options)) {
    const double stride_y = double(height) / level.height, stride_x = double(width) / level.width;
    for (int octave = 0; octave < options.scales_per_octave; ++octave)
      for (const auto& [width_factor, height_factor] : options.aspect_factors) {
        const double scale = options.anchor_scale * std::pow(2.0, double(octave) / options.scales_per_octave);
        shapes_.push_back({stride_y, stride_x, scale * stride_y * height_factor,
                           scale * stride_x * width_factor, level.height, level.width});
      }
  }
  const auto side = [](const Shape& s) { return std::sqrt(s.height * s.width); };
  const auto [least, most] = std::minmax_element(
      shapes_.begin(), shapes_.end(), [&](const Shape& a, const Shape& b) { return side(a) < side(b); });
  smallest_ = side(*least);
  largest_ = side(*most);
}

double AnchorCover::best_iou(const InputBox& box) const {
  // How far [begin, begin + length] and the nearest of `count` anchors of one size overlap.
  const auto overlap = [](double begin, double length, double stride, double size, int count) {
    const double middle = begin + length / 2;
    const double cell = std::clamp(std::floor(middle / stride), 0.0, double(count - 1));
    const double low = (cell + 0.5) * stride - size / 2;
    return std::max(0.0, std::min(begin + length, low + size) - std::max(begin, low));
  };
  double best = 0;
  for (const Shape& s : shapes_) {
    const double common = overlap(box.y, box.height, s.stride_y, s.height, s.rows) *
                          overlap(box.x, box.width, s.stride_x, s.width, s.columns);
    best = std::max(best, common / (box.width * box.height + s.width * s.height - common));
  }
  return best;
}

namespace {

struct Sample {
  const LabelledImage* image;
  const Annotation* annotation;
};

std::vector<Sample> sample_boxes(const std::vector<const LabelledImage*>& images) {
  constexpr size_t max_boxes = 10000;
  std::vector<Sample> all, samples;
  for (const LabelledImage* image : images)
    for (const Annotation& a : image->annotations)
      if (!a.crowd && a.has_area()) all.push_back({image, &a});
  for (size_t i = 0; i < all.size(); i += all.size() / max_boxes + 1) samples.push_back(all[i]);
  return samples;
}

double covered_share(const std::vector<Sample>& samples, int height, int width,
                     const AnchorOptions& options) {
  constexpr double threshold = 0.5;
  if (samples.empty()) return 1;
  const AnchorCover cover(height, width, options);
  std::vector<uint8_t> covered(samples.size());
  parallel_for(int64_t(samples.size()), 100, [&](int64_t begin, int64_t end) {
    for (size_t i = size_t(begin); i < size_t(end); ++i)
      covered[i] =
          cover.best_iou(to_input(*samples[i].annotation, *samples[i].image, height, width)) >= threshold;
  });
  return double(std::count(covered.begin(), covered.end(), 1)) / double(covered.size());
}

}  // namespace

double covered_share(const std::vector<const LabelledImage*>& images, int height, int width,
                     const AnchorOptions& options) {
  return covered_share(sample_boxes(images), height, width, options);
}

InputChoice suggest_input(const std::vector<const LabelledImage*>& images, AnchorOptions options) {
  constexpr int sides[] = {128, 192, 256, 320, 384, 448, 512, 640, 768, 896, 1024, 1280, 1536};
  constexpr double scales[] = {1, 1.5, 2, 2.5, 3, 4, 5, 6, 8}, enough = 0.95;
  const std::vector<Sample> samples = sample_boxes(images);
  InputChoice best;
  if (samples.empty()) return best;
  for (const int side : sides) {
    const auto [height, width] = suited_image_size(images, side);
    for (const double scale : scales) {
      options.anchor_scale = scale;
      const double share = covered_share(samples, height, width, options);
      if (share > best.covered) best = {height, width, scale, share};
    }
    if (best.covered >= enough) break;
  }
  return best;
}

}  // namespace fovea
