#include "train/classification_run.h"

#include <algorithm>
#include <filesystem>

#include "core/error.h"
#include "train/classification_task.h"
#include "train/report/learning_curves.h"
#include "train/report/run_report.h"

namespace fovea {
namespace {

class ClassificationWork : public TrainingRun::Work {
 public:
  ClassificationWork(const TrainConfig& config, const ClassificationDataset& train,
                     const ClassificationDataset& validation)
      : Work(train.warnings, validation.warnings),
        config_(config),
        train_(train),
        validation_(validation),
        task_(config, train, validation) {}

  Task& task() override { return task_; }
  std::string name() const override { return train_.name; }
  std::string description() override {
    return fmt::format(
        "{}: {} parameters, {} px; {} images of {} classes to learn from, {} to measure on; {} steps of {}",
        config_.model, task_.model().parameter_count(), config_.image_size, train_.images.size(),
        train_.class_names.size(), validation_.images.size(), config_.steps, images_per_step(config_));
  }
  std::string finish(const std::string& folder) override {
    Classifier best(ModelFile(folder + "/best.safetensors"));
    ImageCache images(files_of(validation_), config_.cache_mb << 20);
    const Tensor probabilities = classify_dataset(best, validation_, images, int(config_.workers));
    const double top1 = top_k_accuracy(probabilities, validation_, 1),
                 top5 = top_k_accuracy(probabilities, validation_, 5);
    RunReport report;
    report.title = fmt::format("{} on {}", config_.model, train_.name);
    report.summary = {{"top-1 accuracy", fmt::format("{:.4f}", top1)},
                      {"top-5 accuracy", fmt::format("{:.4f}", top5)},
                      {"images measured", std::to_string(validation_.images.size())},
                      {"parameters", std::to_string(best.model().parameter_count())},
                      {"steps x images", fmt::format("{} x {}", config_.steps, images_per_step(config_))}};
    report.charts = learning_curves(folder + "/metrics.csv");
    write_run_report(folder + "/report.html", report);
    if (config_.overfit > 0 && top1 < 1)
      failure_ = fmt::format(
          "top-1 accuracy is {:.4f} on the {} training images it was shown, where 1 was to be reached: if "
          "the "
          "loss was still falling, give more --steps than {}; otherwise look whether each folder in {} holds "
          "pictures of its class alone",
          top1, train_.images.size(), config_.steps, config_.data);
    return fmt::format(
        "top-1 accuracy {:.4f}, top-5 {:.4f} on {} images\n\nreport:   {}/report.html\nweights:  "
        "{}/best.safetensors\n",
        top1, top5, validation_.images.size(), folder, folder);
  }

 private:
  TrainConfig config_;
  ClassificationDataset train_, validation_;
  ClassificationTask task_;
};

// Every fifth picture of each class moves to the second data set.
std::pair<ClassificationDataset, ClassificationDataset> held_out(const ClassificationDataset& all) {
  ClassificationDataset train = all, validation = all;
  train.images.clear();
  validation.images.clear();
  validation.warnings.clear();
  std::vector<int64_t> seen(all.class_names.size());
  for (const auto& image : all.images)
    (seen[size_t(image.label)]++ % 5 == 4 ? validation : train).images.push_back(image);
  require(!validation.images.empty(),
          "{} has too few pictures: a class needs five, of which one is held out to measure on", all.name);
  return {train, validation};
}

// The first `count` pictures, from each class in turn.
void keep_first(ClassificationDataset& dataset, size_t count) {
  require(dataset.images.size() >= count, "--overfit is {}, and {} has {} pictures: give less", count,
          dataset.name, dataset.images.size());
  std::vector<int64_t> seen(dataset.class_names.size());
  std::vector<std::pair<int64_t, ClassifiedImage>> ranked;  // by place in its class
  for (const ClassifiedImage& image : dataset.images) ranked.emplace_back(seen[size_t(image.label)]++, image);
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  dataset.images.clear();
  for (size_t i = 0; i < count; ++i) dataset.images.push_back(ranked[i].second);
}

}  // namespace

std::unique_ptr<TrainingRun::Work> make_classification_work(TrainingState& state) {
  TrainConfig& c = state.config;
  ClassificationDataset train, validation;
  if (std::filesystem::is_directory(c.data + "/" + c.train_split)) {
    train = read_image_folder(c.data + "/" + c.train_split);
    validation = read_image_folder(c.data + "/" + c.val_split, train.class_names);
  } else {
    std::tie(train, validation) = held_out(read_image_folder(c.data));
  }
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
  return std::make_unique<ClassificationWork>(c, train, validation);
}

}  // namespace fovea
