#include "train/classification/classification_run.h"

#include <algorithm>
#include <filesystem>
#include <numeric>

#include "core/error.h"
#include "core/file.h"
#include "train/classification/classification_task.h"
#include "train/parallel/data_parallel.h"
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
    double top1 = 0;
    const std::string text =
        evaluate_classifier(best, validation_, config_, is_main_process() ? folder : "", &top1) +
        fmt::format("weights:  {}/best.safetensors\n", folder);
    if (config_.overfit > 0 && top1 < 1)
      failure_ = fmt::format(
          "top-1 accuracy is {:.4f} on the {} training images it was shown, where 1 was to be reached: if "
          "the loss was still falling, give more --steps than {}; otherwise look whether each folder in {} "
          "holds pictures of its class alone",
          top1, train_.images.size(), config_.steps, config_.data);
    return text;
  }

 private:
  TrainConfig config_;
  ClassificationDataset train_, validation_;
  ClassificationTask task_;
};

constexpr size_t worst_in_report = 12;

// What a classifier says of a data set, picture by picture.
struct Answers {
  std::vector<int> truths, found;  // found: the most probable class, the first of equals
  std::vector<double> losses;      // cross-entropy, -log of the probability of the truth
  std::vector<double> sure;        // probability of `found`
};

Answers answers_of(const Tensor& probabilities, const ClassificationDataset& dataset) {
  Answers answers;
  const size_t classes = size_t(probabilities.size(1));
  for (size_t i = 0; i < dataset.images.size(); ++i) {
    const auto row = probabilities.span<float>().subspan(i * classes, classes);
    const auto best = std::max_element(row.begin(), row.end());
    answers.truths.push_back(dataset.images[i].label);
    answers.found.push_back(int(best - row.begin()));
    answers.sure.push_back(*best);
    answers.losses.push_back(-std::log(std::max(1e-12f, row[size_t(dataset.images[i].label)])));
  }
  return answers;
}

// The places of the largest numbers, largest first, equals in their order; at most so many.
std::vector<size_t> largest(const std::vector<double>& numbers, size_t most) {
  std::vector<size_t> order(numbers.size());
  std::iota(order.begin(), order.end(), size_t(0));
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return numbers[a] > numbers[b]; });
  order.resize(std::min(order.size(), most));
  return order;
}

std::vector<ReportPicture> worst_pictures(const Answers& answers, const ClassificationDataset& dataset,
                                          ImageCache& images) {
  std::vector<ReportPicture> pictures;
  for (const size_t i : largest(answers.losses, worst_in_report)) {
    const std::string &truth = dataset.class_names[size_t(answers.truths[i])],
                      &found = dataset.class_names[size_t(answers.found[i])];
    const double own = std::exp(-answers.losses[i]);
    const std::string probability = fmt::format("{} {:.3f}", truth, own);
    pictures.push_back(
        {std::filesystem::path(dataset.images[i].file).filename().string(),
         *images.get(i),
         {},
         answers.truths[i] == answers.found[i]
             ? fmt::format("right, but not sure: {}; loss {:.2f}", probability, answers.losses[i])
             : fmt::format("{} taken for {}: {} {:.3f}, {}; loss {:.2f}", truth, found, found,
                           answers.sure[i], probability, answers.losses[i])});
  }
  return pictures;
}

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

ClassificationDataset open_classification_split(const std::string& folder, const std::string& split,
                                                const std::vector<std::string>& class_names) {
  require(std::filesystem::is_directory(folder), "{} is no folder: give the folder of a data set", folder);
  if (std::filesystem::is_directory(folder + "/" + split))
    return read_image_folder(folder + "/" + split, class_names);
  require(split == "val", "{0} has no folder {1}: give a --split that it has, {0}/<split>/<class>/", folder,
          split);
  return held_out(read_image_folder(folder, class_names)).second;
}

std::string evaluate_classifier(const Classifier& classifier, const ClassificationDataset& dataset,
                                const TrainConfig& config, const std::string& folder, double* top1_accuracy) {
  ImageCache images(files_of(dataset), config.cache_mb << 20);
  const Tensor probabilities = classify_dataset(classifier, dataset, images, int(config.workers));
  const double top1 = top_k_accuracy(probabilities, dataset, 1),
               top5 = top_k_accuracy(probabilities, dataset, 5);
  if (top1_accuracy) *top1_accuracy = top1;
  const std::string text =
      fmt::format("top-1 accuracy {:.4f}, top-5 {:.4f} on {} images\n", top1, top5, dataset.images.size());
  if (folder.empty()) return text;
  const Answers answers = answers_of(probabilities, dataset);
  RunReport report;
  report.title = fmt::format("{} on {}", config.model, dataset.name);
  report.summary = {{"top-1 accuracy", fmt::format("{:.4f}", top1)},
                    {"top-5 accuracy", fmt::format("{:.4f}", top5)},
                    {"images measured", std::to_string(dataset.images.size())},
                    {"parameters", std::to_string(classifier.model().parameter_count())},
                    {"steps x images", fmt::format("{} x {}", config.steps, images_per_step(config))}};
  create_folder(folder);
  if (std::filesystem::exists(folder + "/metrics.csv"))
    report.charts = learning_curves(folder + "/metrics.csv");
  report.mistakes = "How often pictures of the class in a row were taken for the class in a column.";
  report.confusion = confusion_matrix(dataset.class_names, answers.truths, answers.found);
  report.worst = worst_pictures(answers, dataset, images);
  write_run_report(folder + "/report.html", report);
  return text + fmt::format("\nreport:   {}/report.html\n", folder);
}

}  // namespace fovea
