#include "train/classification/classification_task.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "core/checksum.h"
#include "core/error.h"
#include "core/file.h"
#include "train/classification/classification_recipe.h"
#include "train/classification/evaluate_classifier.h"
#include "train/data/augment/augment.h"
#include "train/data/augment/mixup.h"
#include "train/data/class_weights.h"
#include "train/data/files/listing.h"
#include "train/data/files/shared_files.h"
#include "train/data/layout/split_name.h"
#include "train/data/random_stream.h"
#include "train/loop/resolve_config.h"
#include "train/loop/training_sampler.h"

namespace fovea {
namespace {

std::vector<std::vector<int>> labels_of(const ClassificationDataset& dataset) {
  std::vector<std::vector<int>> labels;
  for (const ClassifiedImage& image : dataset.images) labels.push_back({image.label});
  return labels;
}

std::vector<int64_t> images_of_classes(const ClassificationDataset& dataset) {
  std::vector<int64_t> counts(dataset.class_names.size());
  for (const ClassifiedImage& image : dataset.images) ++counts[size_t(image.label)];
  return counts;
}

// folder/<split>, or that split by the name that other tools give it.
std::string split_folder(const std::string& folder, const std::string& split) {
  for (const std::string& name : folder_names(folder))
    if (name != split && split_name(name) == split_name(split) && !is_folder(folder + "/" + split))
      return folder + "/" + name;
  return folder + "/" + split;
}

// Every fifth image of each class moves to the second data set.
std::pair<ClassificationDataset, ClassificationDataset> held_out(const ClassificationDataset& all) {
  ClassificationDataset train = all, validation = all;
  train.images.clear();
  validation.images.clear();
  validation.warnings.clear();
  std::vector<int64_t> seen(all.class_names.size());
  for (const auto& image : all.images)
    (seen[size_t(image.label)]++ % 5 == 4 ? validation : train).images.push_back(image);
  require(!validation.images.empty(),
          "{} has too few images: a class needs five, of which one is held out for validation", all.name);
  return {train, validation};
}

// The first `count` images, from each class in turn.
void keep_first(ClassificationDataset& dataset, size_t count) {
  require(dataset.images.size() >= count, "`overfit` is {}, but {} has {} images: give a smaller number",
          count, dataset.name, dataset.images.size());
  std::vector<int64_t> seen(dataset.class_names.size());
  std::vector<std::pair<int64_t, ClassifiedImage>> ranked;  // by place in its class
  for (const ClassifiedImage& image : dataset.images) ranked.emplace_back(seen[size_t(image.label)]++, image);
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  dataset.images.clear();
  for (size_t i = 0; i < count; ++i) dataset.images.push_back(ranked[i].second);
}

}  // namespace

ClassificationTask::ClassificationTask(const TrainConfig& config, ClassificationDataset train,
                                       ClassificationDataset validation, ProcessGroup& group)
    : ClassificationTask(config, Classifier(config, train.class_names), std::move(train),
                         std::move(validation), group) {}

ClassificationTask::ClassificationTask(const TrainConfig& config, Classifier classifier,
                                       ClassificationDataset&& train, ClassificationDataset&& validation,
                                       ProcessGroup& group)
    : Task(classification_recipe(
          classifier.shared_model(), classifier.casts(), config,
          class_weights(config.class_weights, train.class_names, images_of_classes(train)))),
      config_(config),
      group_(group),
      share_(share_of_batch(group, config.batch_size)),
      train_(std::move(train)),
      validation_(std::move(validation)),
      class_weights_(class_weights(config.class_weights, train_.class_names, images_of_classes(train_))),
      classifier_(std::move(classifier)),
      sampler_(training_sampler(config, labels_of(train_))),
      train_images_(files_of(train_), config.cache_mb << 20),
      validation_images_(files_of(validation_), config.cache_mb << 19) {}

Batch ClassificationTask::make_batch(int64_t index) {
  const int64_t n = share_.count;
  const int64_t first = index * config_.batch_size + share_.first;
  const InputBatch input = classifier_.input(n);
  const bool mixes = config_.mixup > 0;
  const int64_t classes = int64_t(train_.class_names.size());
  const Tensor targets = mixes ? zeros({n, classes}) : Tensor({n}, DType::int32);
  const std::vector<int64_t> chosen = sampler_.images(first, n);
  ClassifierAugmentation augmentation;
  if (config_.overfit == 0)
    augmentation = {.random_crop = true,
                    .horizontal_flip = true,
                    .colours = {config_.brightness, config_.contrast, config_.saturation, config_.hue},
                    .rotate = config_.rotate,
                    .random_erasing = config_.random_erasing};
  for (int64_t k = 0; k < n; ++k) {
    const size_t image = size_t(chosen[size_t(k)]);
    const int size = classifier_.size(), label = train_.images[image].label;
    Random random(uint64_t(config_.seed), stream_of(RandomStream::augmentation, first + k));
    const auto add_label = [&](int of, double share) {
      add_to_soft_target(targets.span<float>().subspan(size_t(k * classes), size_t(classes)), of, share,
                         config_.label_smoothing, class_weights_);
    };
    double share = 1;
    if (mixes && random.chance(config_.mixup)) {
      const size_t other = size_t(sampler_.any(random));
      share = classifier_mixup_share(random);
      prepare_mixed_for_classification(*train_images_.get(image), *train_images_.get(other), share, size,
                                       augmentation, random, input.image(k));
      add_label(train_.images[other].label, 1 - share);
    } else {
      prepare_for_classification(*train_images_.get(image), size, augmentation, random, input.image(k));
    }
    if (mixes)
      add_label(label, share);
    else
      targets.data<int32_t>()[k] = int32_t(label);
  }
  return {input.pixels, {targets}, input.packed};
}

NamedValues ClassificationTask::evaluate() {
  const Tensor probabilities =
      classify_dataset(classifier_, validation_, validation_images_, int(config_.workers), group_);
  const int64_t classes = probabilities.size(1);
  double loss = 0;
  for (int64_t i = 0; i < probabilities.size(0); ++i)
    loss -= std::log(
        std::max(1e-12f, probabilities.data<float>()[i * classes + validation_.images[size_t(i)].label]));
  return {{"validation/top1", top_k_accuracy(probabilities, validation_, 1)},
          {"validation/top5", top_k_accuracy(probabilities, validation_, 5)},
          {"validation/loss", loss / double(probabilities.size(0))}};
}

std::string ClassificationTask::description() const {
  return fmt::format(
      "{}: {} parameters, {} px; {} training images of {} classes, {} validation images; {} steps of {}{}",
      config_.model, model().parameter_count(), config_.image_size, train_.images.size(),
      train_.class_names.size(), validation_.images.size(), config_.steps, images_per_step(config_),
      class_weights_text(class_weights_, train_.class_names));
}

std::vector<std::string> ClassificationTask::warnings() const {
  std::vector<std::string> all = train_.warnings;
  all.insert(all.end(), validation_.warnings.begin(), validation_.warnings.end());
  return all;
}

std::vector<std::string> ClassificationTask::files() const {
  std::vector<std::string> all = files_of(train_), measured = files_of(validation_);
  all.insert(all.end(), measured.begin(), measured.end());
  return all;
}

TaskResult ClassificationTask::finish(const std::string& folder) {
  Classifier best(ModelFile(folder + "/best.safetensors"));
  double top1 = 0;
  TaskResult result;
  result.text =
      evaluate_classifier(best, validation_, config_, group_.is_main_process() ? folder : "", &top1, group_) +
      fmt::format("weights:  {}/best.safetensors\n", folder);
  if (config_.overfit > 0 && top1 < 1)
    result.failure = fmt::format(
        "top-1 accuracy is {:.4f} on the {} training images it was shown, where 1 was expected: if the loss "
        "was still falling, give more `steps` than {}; otherwise check whether each folder in {} holds "
        "only images of its class",
        top1, train_.images.size(), config_.steps, config_.data);
  return result;
}

std::unique_ptr<Task> make_classification_task(TrainingState& state, ProcessGroup& group) {
  TrainConfig& c = state.config;
  ClassificationDataset train, validation;
  if (std::filesystem::is_directory(split_folder(c.data, c.train_split))) {
    train = read_image_folder(split_folder(c.data, c.train_split));
    validation = read_image_folder(split_folder(c.data, c.val_split), train.class_names);
  } else {
    std::tie(train, validation) = held_out(read_image_folder(c.data));
  }
  warn_of_shared_files(files_of(train), files_of(validation), train.warnings);
  if (c.overfit > 0) {
    keep_first(train, size_t(c.overfit));
    validation = train;
    validation.warnings.clear();
  }
  if (parse_image_size(c.image_size)[0] == 0)
    c.image_size = std::to_string(efficientnet_spec(c.model).image_size);
  c = resolve_config(c, int64_t(train.images.size()));
  state.class_names = train.class_names;
  for (size_t i = 0; i < train.class_names.size(); ++i) state.category_ids.push_back(int(i) + 1);
  Checksum labels;
  for (const ClassificationDataset* dataset : {&train, &validation})
    for (const ClassifiedImage& image : dataset->images) labels.add(uint64_t(image.label));
  state.labels_checksum = labels.text();
  return std::make_unique<ClassificationTask>(c, std::move(train), std::move(validation), group);
}

ClassificationDataset open_classification_split(const std::string& folder, const std::string& split,
                                                const std::vector<std::string>& class_names) {
  require(std::filesystem::is_directory(folder), "{} is not a folder: give the folder of a data set", folder);
  if (std::filesystem::is_directory(split_folder(folder, split)))
    return read_image_folder(split_folder(folder, split), class_names);
  require(split == "val", "{0} has no folder {1}: give a `split` that it has, {0}/<split>/<class>/", folder,
          split);
  return held_out(read_image_folder(folder, class_names)).second;
}

}  // namespace fovea
