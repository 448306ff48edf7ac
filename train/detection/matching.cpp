// Compiled with -ffp-contract=off: CMakeLists.txt gives the reason.
#include "train/detection/matching.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/error.h"
#include "cuda/kernels/anchor_matching.h"
#include "models/anchors.h"
#include "models/box_coder.h"

namespace fovea {
namespace {

constexpr int64_t block_size =
    256;  // a block's coordinates and results stay in the first-level cache for all objects

bool has_size(const Box& box) {
  return box.height() > 0 && box.width() > 0 && box.area() > 0 && std::isfinite(box.area());
}

bool overlap(const Box& a, const Box& b) {
  return std::min(a.ymax, b.ymax) > std::max(a.ymin, b.ymin) &&
         std::min(a.xmax, b.xmax) > std::max(a.xmin, b.xmin);
}

Box hull(const Box& a, const Box& b) {
  return {std::min(a.ymin, b.ymin), std::min(a.xmin, b.xmin), std::max(a.ymax, b.ymax),
          std::max(a.xmax, b.xmax)};
}

void check_box(const char* what, size_t index, const Box& box) {
  require(has_size(box),
          "[match] {} {} with ymin {}, xmin {}, ymax {}, xmax {} has no positive, finite size: leave such "
          "boxes out",
          what, index, box.ymin, box.xmin, box.ymax, box.xmax);
}

void check(const MatchTruths& truths) {
  require(truths.boxes.size() == truths.labels.size(),
          "[match] an image has {} boxes and {} labels: give one label for each box", truths.boxes.size(),
          truths.labels.size());
  for (size_t i = 0; i < truths.boxes.size(); ++i) {
    check_box("box", i, truths.boxes[i]);
    require(truths.labels[i] >= 0, "[match] the label of box {} is {}: labels count from 0", i,
            truths.labels[i]);
  }
  for (size_t i = 0; i < truths.crowds.size(); ++i) check_box("crowd region", i, truths.crowds[i]);
}

void check(std::span<const Box> anchors, const MatchOptions& options) {
  require(options.iou_threshold > 0 && options.iou_threshold <= 1,
          "[match] iou_threshold is {}: give a number above 0 and at most 1", options.iou_threshold);
  require(options.crowd_threshold > 0 && options.crowd_threshold <= 1,
          "[match] crowd_threshold is {}: give a number above 0 and at most 1", options.crowd_threshold);
  for (size_t i = 0; i < anchors.size(); ++i) check_box("anchor", i, anchors[i]);
}

}  // namespace

MatchCounts& MatchCounts::operator+=(const MatchCounts& other) {
  positives += other.positives;
  truths += other.truths;
  weak += other.weak;
  anchorless += other.anchorless;
  return *this;
}

AnchorMatcher::AnchorMatcher(std::span<const Box> anchors, const MatchOptions& options)
    : options_(options), anchors_(anchors.begin(), anchors.end()) {
  check(anchors, options);
  for (size_t i = 0; i < anchors.size(); ++i) {
    const Box& a = anchors[i];
    ymin_.push_back(a.ymin);
    xmin_.push_back(a.xmin);
    ymax_.push_back(a.ymax);
    xmax_.push_back(a.xmax);
    area_.push_back(a.area());
    if (i % block_size == 0) blocks_.push_back({int64_t(i), int64_t(i), a});
    blocks_.back().end = int64_t(i) + 1;
    blocks_.back().bounds = hull(blocks_.back().bounds, a);
  }
}

// Step 1 for the anchors of one block, `matched` being their part of the class targets; also the block's
// candidates for step 2.
void AnchorMatcher::match_block(const Block& block, std::span<const Box> truths,
                                std::vector<BestAnchor>& best_anchors, std::span<int32_t> matched) const {
  const int64_t n = block.end - block.begin;
  const float *ymin = &ymin_[size_t(block.begin)], *xmin = &xmin_[size_t(block.begin)];
  const float *ymax = &ymax_[size_t(block.begin)], *xmax = &xmax_[size_t(block.begin)];
  const float* area = &area_[size_t(block.begin)];
  std::array<float, block_size> iou, best_iou{};
  std::array<int32_t, block_size> best_truth{};

  for (size_t t = 0; t < truths.size(); ++t) {
    const Box truth = truths[t];
    if (!overlap(block.bounds, truth)) continue;
    const float truth_area = truth.area();
    float greatest = 0;
#pragma omp simd reduction(max : greatest)
    for (int64_t i = 0; i < n; ++i) {
      const float height = std::max(std::min(ymax[i], truth.ymax) - std::max(ymin[i], truth.ymin), 0.0f);
      const float width = std::max(std::min(xmax[i], truth.xmax) - std::max(xmin[i], truth.xmin), 0.0f);
      const float intersection = height * width;
      iou[i] = intersection / (truth_area + area[i] - intersection);
      best_truth[i] = iou[i] > best_iou[i] ? int32_t(t) : best_truth[i];
      best_iou[i] = std::max(best_iou[i], iou[i]);
      greatest = std::max(greatest, iou[i]);
    }
    if (greatest > best_anchors[t].iou)
      best_anchors[t] = {greatest,
                         block.begin + (std::find(iou.begin(), iou.begin() + n, greatest) - iou.begin())};
  }
  for (int64_t i = 0; i < n; ++i)
    matched[size_t(i)] = best_iou[i] >= options_.iou_threshold ? best_truth[i] : background_target;
}

void AnchorMatcher::ignore_crowds(std::span<const Box> crowds, std::span<int32_t> class_targets) const {
  for (const Block& block : blocks_)
    for (const Box& crowd : crowds) {
      if (!overlap(block.bounds, crowd)) continue;
      for (size_t i = size_t(block.begin); i < size_t(block.end); ++i) {
        const float height = std::min(ymax_[i], crowd.ymax) - std::max(ymin_[i], crowd.ymin);
        const float width = std::min(xmax_[i], crowd.xmax) - std::max(xmin_[i], crowd.xmin);
        const bool inside = height > 0 && width > 0 && height * width >= options_.crowd_threshold * area_[i];
        if (inside && class_targets[i] == background_target) class_targets[i] = ignored_target;
      }
    }
}

MatchCounts AnchorMatcher::match(const MatchTruths& truths, std::span<int32_t> class_targets,
                                 std::span<float> box_targets) const {
  check(truths);
  require(class_targets.size() == anchors_.size() && box_targets.size() == anchors_.size() * 4,
          "[match] there is room for {} class targets and {} box targets: {} anchors need {} and {}",
          class_targets.size(), box_targets.size(), anchors_.size(), anchors_.size(), anchors_.size() * 4);

  // Until the end class_targets holds the index of the object, not yet its label.
  std::vector<BestAnchor> best_anchors(truths.boxes.size());
  for (const Block& block : blocks_)
    match_block(block, truths.boxes, best_anchors,
                class_targets.subspan(size_t(block.begin), size_t(block.end - block.begin)));
  for (size_t t = truths.boxes.size(); t-- > 0;)  // backwards, so that the first object wins
    if (best_anchors[t].anchor >= 0) class_targets[size_t(best_anchors[t].anchor)] = int32_t(t);

  MatchCounts counts{.truths = int64_t(truths.boxes.size())};
  for (const BestAnchor& best : best_anchors) counts.weak += best.iou < options_.iou_threshold;
  std::vector<char> has_anchor(truths.boxes.size(), false);
  std::fill(box_targets.begin(), box_targets.end(), 0.0f);
  for (size_t i = 0; i < anchors_.size(); ++i) {
    if (class_targets[i] == background_target) continue;
    const size_t t = size_t(class_targets[i]);
    const BoxCode code = encode(anchors_[i], truths.boxes[t]);
    std::copy_n(std::array{code.ty, code.tx, code.th, code.tw}.begin(), 4, &box_targets[i * 4]);
    class_targets[i] = truths.labels[t];
    has_anchor[t] = true;
    ++counts.positives;
  }
  counts.anchorless = std::count(has_anchor.begin(), has_anchor.end(), false);
  ignore_crowds(truths.crowds, class_targets);
  return counts;
}

MatchCounts AnchorMatcher::match_batch(std::span<const MatchTruths> images, std::span<int32_t> class_targets,
                                       std::span<float> box_targets) const {
  const size_t n = anchors_.size();
  require(
      class_targets.size() == images.size() * n && box_targets.size() == images.size() * n * 4,
      "[match] there is room for {} class targets and {} box targets: {} images of {} anchors need {} and {}",
      class_targets.size(), box_targets.size(), images.size(), n, images.size() * n, images.size() * n * 4);
  for (const MatchTruths& image : images)
    check(image);  // here, because an exception must not leave a parallel loop
  std::vector<MatchCounts> counts(images.size());
#pragma omp parallel for schedule(dynamic)
  for (size_t i = 0; i < images.size(); ++i)
    counts[i] = match(images[i], class_targets.subspan(i * n, n), box_targets.subspan(i * n * 4, n * 4));
  MatchCounts sum;
  for (const MatchCounts& image : counts) sum += image;
  return sum;
}

PaddedTruths pad_truths(std::span<const MatchTruths> images, int64_t room) {
  const int64_t n = int64_t(images.size());
  PaddedTruths padded{zeros({n, room, 4}), full({n, room}, background_target, DType::int32)};
  for (int64_t i = 0; i < n; ++i) {
    const MatchTruths& image = images[size_t(i)];
    check(image);
    require(int64_t(image.boxes.size() + image.crowds.size()) <= room,
            "[match] image {} has {} objects and {} crowd regions, and there is room for {}: make more", i,
            image.boxes.size(), image.crowds.size(), room);
    int32_t* label = padded.labels.data<int32_t>() + i * room;
    float* edges = padded.boxes.data<float>() + i * room * 4;
    const auto add = [&](const Box& box, int32_t value) {
      edges = std::copy_n(std::array{box.ymin, box.xmin, box.ymax, box.xmax}.begin(), 4, edges);
      *label++ = value;
    };
    for (size_t t = 0; t < image.boxes.size(); ++t) add(image.boxes[t], image.labels[t]);
    for (const Box& crowd : image.crowds) add(crowd, ignored_target);
  }
  return padded;
}

DeviceMatcher::DeviceMatcher(std::span<const Box> anchors, const MatchOptions& options) : options_(options) {
  check(anchors, options);
  anchors_ = anchor_tensor(anchors).to(Device::cuda);
}

void DeviceMatcher::match_batch(const PaddedTruths& truths, const Tensor& class_targets,
                                const Tensor& box_targets, const Tensor& normalizer) const {
  require(truths.labels.rank() == 2, "[match] the padded labels have shape {}: it must be images x room",
          truths.labels.shape());
  const cuda::MatchDims dims{truths.labels.size(0), num_anchors(), truths.labels.size(1),
                             options_.iou_threshold, options_.crowd_threshold};
  const auto check = [](const char* what, const Tensor& tensor, const Shape& shape) {
    require(tensor.device() == Device::cuda, "[match] the {} are on {}: move them to {}", what,
            name(tensor.device()), name(Device::cuda));
    require(tensor.shape() == shape, "[match] the {} have shape {}: it must be {}", what, tensor.shape(),
            shape);
  };
  check("padded labels", truths.labels, truths.labels.shape());
  check("padded boxes", truths.boxes, {dims.images, dims.room, 4});
  check("class targets", class_targets, {dims.images, dims.anchors});
  check("box targets", box_targets, {dims.images, dims.anchors, 4});
  check("normalizer's numbers", normalizer, normalizer.shape());
  require(normalizer.numel() == 1, "[match] the normalizer has {} numbers: it must have one",
          normalizer.numel());
  cuda::match_anchors(anchors_.data<float>(), truths.boxes.data<float>(), truths.labels.data<int32_t>(),
                      class_targets.data<int32_t>(), box_targets.data<float>(), normalizer.data<float>(),
                      dims);
}

}  // namespace fovea
