#include "train/detection/detection_task.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <tuple>

#include "core/checksum.h"
#include "core/error.h"
#include "ops/arithmetic.h"
#include "train/data/anchor_fit.h"
#include "train/data/class_weights.h"
#include "train/data/files/shared_files.h"
#include "train/data/held_out.h"
#include "train/data/image/image_io.h"
#include "train/data/problem.h"
#include "train/data/splits.h"
#include "train/detection/detection_recipe.h"
#include "train/detection/detection_warnings.h"
#include "train/detection/evaluate_detector.h"
#include "train/loop/resolve_config.h"
#include "train/report/draw.h"
#include "train/report/mosaic.h"

namespace fovea {
namespace {

constexpr double overfitted = 0.995;  // AP50

// The first images as the network gets them, where wrong labels are visible at a glance.
Image augmented_images(DetectionTask& task, const std::vector<std::string>& class_names) {
  const auto [tile_height, tile_width] = task.batches().sizes().back();  // the largest
  const size_t most = std::max(tile_height, tile_width) <= 640 ? 16 : 4;
  std::vector<Image> drawn;
  for (int64_t step = 0; drawn.size() < most && step < int64_t(most); ++step) {
    const Tensor images = task.batches().empty_images(step);
    const int height = int(images.size(1)), width = int(images.size(2));
    const size_t pixels = size_t(height) * size_t(width) * 3;
    const std::vector<PreparedImage> prepared = task.batches().images(step, images);
    for (size_t k = 0; k < prepared.size() && drawn.size() < most; ++k) {
      const PreparedImage& p = prepared[k];
      std::vector<DrawnBox> boxes;
      for (const Box& b : p.crowds) boxes.push_back({b.xmin, b.ymin, b.xmax, b.ymax, 0, "crowd", true});
      for (size_t i = 0; i < p.boxes.size(); ++i)
        boxes.push_back({p.boxes[i].xmin, p.boxes[i].ymin, p.boxes[i].xmax, p.boxes[i].ymax, p.labels[i],
                         class_names[size_t(p.labels[i])]});
      drawn.push_back(
          draw_boxes(image_of(images.span<float>().subspan(k * pixels, pixels), height, width), boxes));
    }
  }
  return arrange(drawn, tile_width, tile_height);
}

// The first `count` images that contain an object.
void keep_first(DetectionDataset& dataset, size_t count) {
  std::erase_if(dataset.images, [](const LabelledImage& image) {
    return std::all_of(image.annotations.begin(), image.annotations.end(),
                       [](const Annotation& a) { return a.crowd || !a.has_area(); });
  });
  require(dataset.images.size() >= count,
          "`overfit` is {}, but {} has {} images with boxes: give a smaller number", count, dataset.name,
          dataset.images.size());
  dataset.images.resize(count);
}

}  // namespace

DetectionTask::DetectionTask(const TrainConfig& config, DetectionDataset train, DetectionDataset validation,
                             ProcessGroup& group)
    : DetectionTask(config, Detector(config, train.class_names), std::move(train), std::move(validation),
                    group) {
  follows_config_ = true;
}

DetectionTask::DetectionTask(const TrainConfig& config, Detector detector, DetectionDataset&& train,
                             DetectionDataset&& validation, ProcessGroup& group)
    : Task(detection_recipe(detector.shared_model(), detector.casts(), config,
                            class_weights(config.class_weights, train.class_names, boxes_of_classes(train)))),
      config_(config),
      group_(group),
      train_(std::move(train)),
      validation_(std::move(validation)),
      detector_(std::move(detector)),
      batches_(config_, train_, detector_, group),
      validation_images_(files_of(validation_), config.cache_mb << 19) {
  if (detector_.device() == Device::cpu) return;
  for (const auto& [height, width] : batches_.sizes())
    device_matchers_.try_emplace({height, width},
                                 generate_anchors(height, width, detector_.model().spec().anchors));
  matched_.resize(size_t(config.accumulate));
}

std::vector<Batch> DetectionTask::prepare(std::vector<Batch> batches) {
  Tensor sum;  // over the batches, of positives + 1
  for (size_t k = 0; k < batches.size(); ++k) {
    Tensors& targets = batches[k].targets;
    if (!device_matchers_.empty()) {
      const int64_t n = batches[k].images.size(0);
      const DeviceMatcher& matcher =
          device_matchers_.at({batches[k].images.size(1), batches[k].images.size(2)});
      const int64_t anchors = matcher.num_anchors();
      Tensors& matched = matched_[k];
      if (matched.empty() || matched[0].size(1) != anchors)
        matched = {Tensor({n, anchors}, DType::int32, Device::cuda),
                   Tensor({n, anchors, 4}, DType::float32, Device::cuda),
                   Tensor({}, DType::float32, Device::cuda)};
      matcher.match_batch({targets[0], targets[1]}, matched[0], matched[1], matched[2]);
      targets = matched;
    }
    sum = sum.defined() ? sum + targets[2] : targets[2];
  }
  int64_t terms = int64_t(batches.size());
  if (group_.size() > 1) {
    sum = sum.clone();  // the batches must not change
    all_reduce(group_, {sum});
    terms *= group_.size();
  }
  const Tensor normalizer = terms > 1 ? sum - double(terms - 1) : sum;
  for (Batch& batch : batches) batch.targets[2] = normalizer;
  return batches;
}

NamedValues DetectionTask::evaluate() {
  const auto detections = detect_dataset(detector_, validation_, validation_images_, int(config_.workers),
                                         {.max_detections = int(config_.max_detections)}, {}, group_);
  const CocoFigures figures = evaluate_coco(validation_, scored_boxes(detections), config_.max_detections);
  NamedValues values;
  for (size_t i = 0; i < figures.values().size(); ++i)
    values.emplace_back(fmt::format("validation/{}", CocoFigures::names()[i]), figures.values()[i]);
  return values;
}

std::string DetectionTask::description() const {
  int64_t objects = 0;
  for (const LabelledImage& image : train_.images) objects += int64_t(image.annotations.size());
  const auto &smallest = batches_.sizes().front(), &largest = batches_.sizes().back();
  const std::string trained_at =
      batches_.sizes().size() == 1
          ? ""
          : fmt::format(" ({}x{} to {}x{} in training)", smallest[0], smallest[1], largest[0], largest[1]);
  return fmt::format(
      "{}: {} parameters, {}x{} px{}, {} anchors; {} images with {} objects of {} classes ({}); {} steps of "
      "{}{}",
      config_.model, model().parameter_count(), detector_.height(), detector_.width(), trained_at,
      detector_.anchors().size(), train_.images.size(), objects, train_.class_names.size(),
      some_of(train_.class_names), config_.steps, images_per_step(config_),
      class_weights_text(class_weights(config_.class_weights, train_.class_names, boxes_of_classes(train_)),
                         train_.class_names));
}

std::vector<std::string> DetectionTask::warnings() const {
  std::vector<std::string> all = train_.warnings;
  all.insert(all.end(), validation_.warnings.begin(), validation_.warnings.end());
  return all;
}

std::vector<std::string> DetectionTask::files() const {
  std::vector<std::string> all = files_of(train_), measured = files_of(validation_);
  all.insert(all.end(), measured.begin(), measured.end());
  return all;
}

void DetectionTask::begin(const std::string& folder) {
  write_image(folder + "/augmented.jpg", augmented_images(*this, train_.class_names));
}

// On the CPU if the file says how to make it; otherwise the detector that was trained, with the best weights.
Detector DetectionTask::best_detector(const std::string& folder) {
  const std::string file = folder + "/best.safetensors";
  if (follows_config_) return Detector(ModelFile(file));
  Checkpoint(file).restore("ema.", state_dict(model()));
  model().set_training(false);
  return detector_;
}

TaskResult DetectionTask::finish(const std::string& folder) {
  Detector best = best_detector(folder);
  CocoFigures figures;
  TaskResult result;
  result.text = evaluate_detector(best, validation_, config_, group_.is_main_process() ? folder : "",
                                  &figures, group_) +
                fmt::format("weights:  {}/best.safetensors\n", folder);
  if (config_.overfit == 0) return result;
  if (figures.ap50 >= overfitted)
    result.text += fmt::format(
        "\noverfitted: AP50 is {:.4f} on the {} training images it was shown; data, network and evaluation "
        "fit together\n",
        figures.ap50, train_.images.size());
  else
    result.failure = fmt::format(
        "AP50 is {:.4f} on the {} training images it was shown, where 1 was expected: look at {}/pictures, "
        "where ground truth and detections should coincide, and run `fovea data check {}` to find boxes that "
        "no anchor fits; if the loss was still falling, give more `steps` than {}",
        figures.ap50, train_.images.size(), folder, config_.data, config_.steps);
  return result;
}

std::unique_ptr<Task> make_detection_task(TrainingState& state, ProcessGroup& group) {
  TrainConfig& c = state.config;
  DetectionDataset train, validation;
  if (is_drawn(c.data, c.train_split) && is_drawn(c.data, c.val_split)) {
    std::tie(train, validation) = draw_splits(c.data, uint64_t(c.seed));
  } else {
    train = open_dataset(c.data, c.train_split);
    if (c.overfit == 0) validation = open_dataset(c.data, c.val_split, train.class_names);
  }
  if (c.overfit > 0) {
    keep_first(train, size_t(c.overfit));
    validation = train;
    validation.warnings.clear();  // reported only once
  }
  if (parse_image_size(c.image_size)[0] == 0) {
    const auto [height, width] = suited_image_size(train, efficientdet_spec(c.model).image_size);
    c.image_size = height == width ? std::to_string(height) : fmt::format("{}x{}", height, width);
  }
  c = resolve_config(c, int64_t(train.images.size()));
  c.anchor_scale = detector_spec(c).anchors.anchor_scale;
  if (c.overfit == 0) {
    warn_of_shared_files(files_of(train), files_of(validation), train.warnings);
    const std::array<const DetectionDataset*, 2> datasets{&train, &validation};
    warn_of(ProblemKind::unlisted_image, unlisted_pictures(c.data, {c.train_split, c.val_split}, datasets),
            train.warnings, nullptr);
  }
  warn_before_training(train, validation, c);
  state.class_names = train.class_names;
  state.category_ids = train.category_ids;
  Checksum labels;
  for (const DetectionDataset* dataset : {&train, &validation})
    for (const LabelledImage& image : dataset->images) {
      labels.add(uint64_t(image.annotations.size()));
      for (const Annotation& a : image.annotations) {
        labels.add(uint64_t(a.label) << 2 | uint64_t(a.crowd) << 1 | uint64_t(a.difficult));
        for (const double number : {a.x, a.y, a.width, a.height}) labels.add(number);
      }
    }
  state.labels_checksum = labels.text();
  return std::make_unique<DetectionTask>(c, std::move(train), std::move(validation), group);
}

}  // namespace fovea
