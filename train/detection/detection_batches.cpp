#include "train/detection/detection_batches.h"

#include <algorithm>

#include "models/anchors.h"
#include "train/data/augment/mixup.h"
#include "train/data/random_stream.h"
#include "train/detection/detection_recipe.h"
#include "train/loop/training_sampler.h"

namespace fovea {
namespace {

std::vector<std::vector<int>> labels_of(const DetectionDataset& dataset) {
  std::vector<std::vector<int>> labels;
  for (const LabelledImage& image : dataset.images) {
    labels.emplace_back();
    for (const Annotation& object : image.annotations)
      if (!object.crowd) labels.back().push_back(object.label);
  }
  return labels;
}

}  // namespace

DetectionBatches::DetectionBatches(const TrainConfig& config, const DetectionDataset& dataset,
                                   const Detector& detector, const ProcessGroup& group)
    : config_(config),
      share_(share_of_batch(group, config.batch_size)),
      dataset_(dataset),
      detector_(detector),
      images_(files_of(dataset), config.cache_mb << 20),
      sampler_(training_sampler(config, labels_of(dataset))),
      sizes_(training_sizes(config, {detector.height(), detector.width()})) {
  for (const auto& [height, width] : sizes_)
    matchers_.emplace_back(generate_anchors(height, width, detector.model().spec().anchors));
  for (const LabelledImage& image : dataset.images)
    truth_room_ = std::max(truth_room_, int64_t(image.annotations.size()));
  if (config.mosaic > 0) truth_room_ *= 4;
  if (config.mixup > 0) truth_room_ *= 2;
}

size_t DetectionBatches::size_of(int64_t index) const {
  constexpr int64_t steps_of_a_size = 10;  // as in YOLOv2, arXiv 1612.08242, section 2
  if (sizes_.size() == 1) return 0;
  const int64_t drawn = index / config_.accumulate / steps_of_a_size;
  Random random(uint64_t(config_.seed), stream_of(RandomStream::input_size, drawn));
  return size_t(random.below(int64_t(sizes_.size())));
}

PreparedImage DetectionBatches::prepare(size_t index, std::array<int, 2> size, Random& random,
                                        const InputImage& input) {
  const AugmentOptions options{config_.horizontal_flip,
                               config_.vertical_flip,
                               config_.scale_min,
                               config_.scale_max,
                               config_.crop,
                               config_.rotate,
                               config_.random_erasing,
                               {config_.brightness, config_.contrast, config_.saturation, config_.hue}};
  const bool mosaic = config_.mosaic > 0 && random.chance(config_.mosaic);
  std::array<size_t, 4> chosen{index};
  if (mosaic)
    for (size_t i = 1; i < 4; ++i) chosen[i] = size_t(sampler_.any(random));
  std::array<std::shared_ptr<const Image>, 4> images;
  std::array<AnnotatedImage, 4> annotated;
  std::array<std::vector<Annotation>, 4> mixed;
  for (size_t i = 0; i < (mosaic ? 4u : 1u); ++i) {
    images[i] = images_.get(chosen[i]);
    annotated[i] = {images[i].get(), dataset_.images[chosen[i]].annotations};
    if (config_.mixup == 0 || !random.chance(config_.mixup)) continue;
    const size_t other = size_t(sampler_.any(random));
    images[i] = std::make_shared<Image>(
        mix(*images[i], *images_.get(other), mixup_share(random), input.background()));
    mixed[i].assign(annotated[i].annotations.begin(), annotated[i].annotations.end());
    mixed[i].insert(mixed[i].end(), dataset_.images[other].annotations.begin(),
                    dataset_.images[other].annotations.end());
    annotated[i] = {images[i].get(), mixed[i]};
  }
  if (mosaic) return prepare_mosaic(annotated, size[0], size[1], options, random, input);
  return prepare_for_training(*images[0], annotated[0].annotations, size[0], size[1], options, random, input);
}

std::vector<PreparedImage> DetectionBatches::images(int64_t index, const InputBatch& images) {
  const int64_t first = index * config_.batch_size + share_.first;
  const std::array<int, 2> size = sizes_[size_of(index)];
  const std::vector<int64_t> chosen = sampler_.images(first, share_.count);
  std::vector<PreparedImage> prepared;
  for (int64_t k = 0; k < share_.count; ++k) {
    Random random(uint64_t(config_.seed), stream_of(RandomStream::augmentation, first + k));
    prepared.push_back(prepare(size_t(chosen[size_t(k)]), size, random, images.image(k)));
  }
  return prepared;
}

Batch DetectionBatches::make(int64_t index) {
  const size_t size = size_of(index);
  const AnchorMatcher& matcher = matchers_[size];
  const int64_t n = share_.count, anchors = matcher.num_anchors();
  const InputBatch input = detector_.input(n, sizes_[size]);
  const std::vector<PreparedImage> prepared = images(index, input);
  Batch batch{input.pixels, {}, input.packed};
  std::vector<MatchTruths> truths;
  for (const PreparedImage& image : prepared) truths.push_back({image.boxes, image.labels, image.crowds});
  if (detector_.device() == Device::cuda) {
    const PaddedTruths padded = pad_truths(truths, truth_room_);
    batch.targets = {padded.boxes, padded.labels};
    return batch;
  }
  const Tensor classes({n, anchors}, DType::int32), boxes({n, anchors, 4});
  MatchCounts counts;
  for (size_t k = 0; k < truths.size(); ++k)
    counts += matcher.match(truths[k], classes.span<int32_t>().subspan(k * size_t(anchors), size_t(anchors)),
                            boxes.span<float>().subspan(k * size_t(anchors) * 4, size_t(anchors) * 4));
  batch.targets = {classes, boxes, full({}, double(counts.positives + 1))};
  return batch;
}

}  // namespace fovea
