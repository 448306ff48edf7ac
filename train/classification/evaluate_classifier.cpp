#include "train/classification/evaluate_classifier.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>

#include "core/file.h"
#include "train/data/augment/augment.h"
#include "train/data/prefetch.h"
#include "train/evaluation/classification_metrics.h"
#include "train/parallel/data_parallel.h"
#include "train/report/learning_curves.h"
#include "train/report/run_report.h"

namespace fovea {
namespace {

constexpr size_t worst_in_report = 12;

// A classifier's predictions for each image of a data set.
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

// The positions of the largest numbers, largest first, equals in their order; at most `most` of them.
std::vector<size_t> largest(const std::vector<double>& numbers, size_t most) {
  std::vector<size_t> order(numbers.size());
  std::iota(order.begin(), order.end(), size_t(0));
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return numbers[a] > numbers[b]; });
  order.resize(std::min(order.size(), most));
  return order;
}

std::vector<ReportImage> highest_losses(const Answers& answers, const ClassificationDataset& dataset,
                                        ImageCache& images) {
  std::vector<ReportImage> worst;
  for (const size_t i : largest(answers.losses, worst_in_report)) {
    const std::string &truth = dataset.class_names[size_t(answers.truths[i])],
                      &found = dataset.class_names[size_t(answers.found[i])];
    const double own = std::exp(-answers.losses[i]);
    const std::string probability = fmt::format("{} {:.3f}", truth, own);
    worst.push_back(
        {std::filesystem::path(dataset.images[i].file).filename().string(),
         *images.get(i),
         {},
         answers.truths[i] == answers.found[i]
             ? fmt::format("right, but not confident: {}; loss {:.2f}", probability, answers.losses[i])
             : fmt::format("{} taken for {}: {} {:.3f}, {}; loss {:.2f}", truth, found, found,
                           answers.sure[i], probability, answers.losses[i])});
  }
  return worst;
}

}  // namespace

Tensor classify_dataset(const Classifier& classifier, const ClassificationDataset& dataset,
                        ImageCache& images, int workers, ProcessGroup& group, std::span<const Flip> views) {
  const int size = classifier.size();
  const int64_t count = int64_t(dataset.images.size()), shown = int64_t(views.size());
  const int64_t batch = std::max<int64_t>(1, 16 / shown);
  const int64_t classes = int64_t(dataset.class_names.size());
  const Turns turns = turns_of(group, (count + batch - 1) / batch);
  workers = workers_for(classifier.device(), workers);
  Prefetch<InputBatch> prefetch(workers, size_t(workers) + 1, 0, turns.count, [&](int64_t index) {
    const int64_t begin = turns[index] * batch, n = std::min(batch, count - begin);
    const InputBatch input = classifier.input(n * shown);
    for (int64_t i = 0; i < n * shown; ++i)
      prepare_for_classification(*images.get(size_t(begin + i / shown)), size, input.image(i),
                                 views[size_t(i % shown)]);
    return input;
  });
  NoGrad no_grad;
  const Tensor result = zeros({count, classes});
  for (int64_t index = 0; index < turns.count; ++index) {
    const int64_t begin = turns[index] * batch;
    const Tensor input = prefetch.next().on_device();
    const Tensor probabilities = classifier.probabilities(input, shown).to(Device::cpu);
    std::copy_n(probabilities.data<float>(), probabilities.numel(), result.data<float>() + begin * classes);
  }
  group.all_reduce(result.span<float>());  // the others' rows are 0 here
  return result;
}

double top_k_accuracy(const Tensor& probabilities, const ClassificationDataset& dataset, int k) {
  const Tensor labels({int64_t(dataset.images.size())}, DType::int32);
  std::transform(dataset.images.begin(), dataset.images.end(), labels.data<int32_t>(),
                 [](const ClassifiedImage& image) { return image.label; });
  return top_k_accuracy(probabilities, labels, k);
}

std::string evaluate_classifier(const Classifier& classifier, const ClassificationDataset& dataset,
                                const TrainConfig& config, const std::string& folder, double* top1_accuracy,
                                ProcessGroup& group, std::span<const Flip> views) {
  ImageCache images(files_of(dataset), config.cache_mb << 20);
  const Tensor probabilities =
      classify_dataset(classifier, dataset, images, int(config.workers), group, views);
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
                    {"images evaluated", std::to_string(dataset.images.size())},
                    {"parameters", std::to_string(classifier.model().parameter_count())},
                    {"steps x images", fmt::format("{} x {}", config.steps, images_per_step(config))}};
  create_folder(folder);
  if (std::filesystem::exists(folder + "/metrics.csv"))
    report.charts = learning_curves(folder + "/metrics.csv");
  report.mistakes = "How often images of the class in a row were classified as the class in a column.";
  report.confusion = confusion_matrix(dataset.class_names, answers.truths, answers.found);
  report.worst = highest_losses(answers, dataset, images);
  write_run_report(folder + "/report.html", report);
  return text + fmt::format("\nreport:   {}/report.html\n", folder);
}

}  // namespace fovea
