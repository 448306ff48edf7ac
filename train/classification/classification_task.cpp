#include "train/classification/classification_task.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/processes.h"
#include "ops/arithmetic.h"
#include "ops/cross_entropy.h"
#include "ops/shape_ops.h"
#include "train/data/augment/augment.h"
#include "train/loop/random_stream.h"
#include "train/parallel/data_parallel.h"

namespace fovea {
namespace {

// How often each picture is shown in an epoch; empty: once.
std::vector<double> repeats_of(const ClassificationDataset& dataset, double threshold) {
  if (threshold == 0) return {};
  std::vector<std::vector<int>> labels;
  for (const auto& image : dataset.images) labels.push_back({image.label});
  return repeat_factors(labels, threshold);
}

}  // namespace

std::vector<std::string> files_of(const ClassificationDataset& dataset) {
  std::vector<std::string> files;
  for (const auto& image : dataset.images) files.push_back(image.file);
  return files;
}

Tensor classify_dataset(const Classifier& classifier, const ClassificationDataset& dataset,
                        ImageCache& images, int workers) {
  const int size = classifier.size();
  constexpr int64_t batch = 16;
  const int64_t count = int64_t(dataset.images.size()), pixels = int64_t(size) * size * 3;
  const int64_t classes = int64_t(dataset.class_names.size());
  const Turns turns = turns_of((count + batch - 1) / batch);
  Prefetch<Tensor> prefetch(workers, size_t(workers) + 1, 0, turns.count, [&](int64_t index) {
    const int64_t begin = turns[index] * batch, n = std::min(batch, count - begin);
    const Tensor input({n, size, size, 3});
    Random unused;
    for (int64_t i = 0; i < n; ++i)
      prepare_for_classification(*images.get(size_t(begin + i)), size, false, unused,
                                 input.span<float>().subspan(size_t(i * pixels), size_t(pixels)));
    return input;
  });
  NoGrad no_grad;
  Random unused;
  const Tensor result = zeros({count, classes});
  for (int64_t index = 0; index < turns.count; ++index) {
    const int64_t begin = turns[index] * batch;
    const Tensor input = prefetch.next().to(classifier.device());
    const Tensor probabilities =
        cast(softmax(classifier.forward(input, unused)), DType::float32).to(Device::cpu);
    std::copy_n(probabilities.data<float>(), probabilities.numel(), result.data<float>() + begin * classes);
  }
  if (processes()) processes()->sum(result.span<float>());  // the others' rows are 0 here
  return result;
}

double top_k_accuracy(const Tensor& probabilities, const ClassificationDataset& dataset, int k) {
  int64_t right = 0;
  for (int64_t i = 0; i < probabilities.size(0); ++i) {
    const auto row =
        probabilities.span<float>().subspan(size_t(i * probabilities.size(1)), size_t(probabilities.size(1)));
    const float own = row[size_t(dataset.images[size_t(i)].label)];
    right += std::count_if(row.begin(), row.end(), [&](float p) { return p > own; }) < k;
  }
  return double(right) / double(probabilities.size(0));
}

ClassificationTask::ClassificationTask(const TrainConfig& config, ClassificationDataset train,
                                       ClassificationDataset validation)
    : config_(config),
      train_(std::move(train)),
      validation_(std::move(validation)),
      classifier_(config_, train_.class_names),
      sampler_(
          int64_t(train_.images.size()),
          [seed = uint64_t(config.seed)](int64_t epoch) {
            return Random(seed, stream_of(RandomStream::order, epoch));
          },
          repeats_of(train_, config.repeat_threshold)),
      train_images_(files_of(train_), config.cache_mb << 20),
      validation_images_(files_of(validation_), config.cache_mb << 19) {
  for (int64_t k = 0; k < config_.accumulate; ++k)
    inputs_.push_back(std::make_unique<Inputs>(classifier_.device()));
}

void ClassificationTask::start(int64_t first, int64_t end) {
  prefetch_ = std::make_unique<Prefetch<ClassificationBatch>>(
      int(config_.workers), size_t(config_.workers) + 2, first * config_.accumulate, end * config_.accumulate,
      [this](int64_t index) { return make(index); });
}

ClassificationBatch ClassificationTask::make(int64_t index) {
  const BatchShare share = share_of_batch(config_.batch_size);
  const int64_t n = share.count, size = classifier_.size(), pixels = size * size * 3;
  const int64_t first = index * config_.batch_size + share.first;
  ClassificationBatch batch{Tensor({n, size, size, 3}), Tensor({n}, DType::int32)};
  const std::vector<int64_t> chosen = sampler_.images(first, n);
  for (int64_t k = 0; k < n; ++k) {
    const size_t image = size_t(chosen[size_t(k)]);
    Random random(uint64_t(config_.seed), stream_of(RandomStream::augmentation, first + k));
    prepare_for_classification(*train_images_.get(image), int(size), config_.overfit == 0, random,
                               batch.images.span<float>().subspan(size_t(k * pixels), size_t(pixels)),
                               {config_.brightness, config_.contrast, config_.saturation, config_.hue});
    batch.labels.data<int32_t>()[k] = int32_t(train_.images[image].label);
  }
  return batch;
}

void ClassificationTask::load(int64_t step) {
  for (size_t k = 0; k < inputs_.size(); ++k) {
    const ClassificationBatch batch = prefetch_->next();
    inputs_[k]->images.load(batch.images);
    inputs_[k]->labels.load(batch.labels);
    inputs_[k]->noise_step.load(step_tensor(step * config_.accumulate + int64_t(k)));
  }
}

std::vector<NamedTensor> ClassificationTask::compute() {
  std::vector<NamedTensor> losses;
  const int64_t parts = config_.accumulate * (processes() ? processes()->count() : 1);  // of the step's mean
  for (auto& in : inputs_) {
    Random noise = noise_of(config_, in->noise_step.tensor());
    Tensor loss = softmax_cross_entropy(classifier_.forward(in->images.tensor(), noise), in->labels.tensor(),
                                        config_.label_smoothing);
    if (parts > 1) loss = loss / double(parts);
    loss.backward();
    add_losses(losses, {{"train/loss", loss.detach()}});
  }
  return losses;
}

NamedValues ClassificationTask::evaluate() {
  const Tensor probabilities =
      classify_dataset(classifier_, validation_, validation_images_, int(config_.workers));
  const int64_t classes = probabilities.size(1);
  double loss = 0;
  for (int64_t i = 0; i < probabilities.size(0); ++i)
    loss -= std::log(
        std::max(1e-12f, probabilities.data<float>()[i * classes + validation_.images[size_t(i)].label]));
  return {{"validation/top1", top_k_accuracy(probabilities, validation_, 1)},
          {"validation/top5", top_k_accuracy(probabilities, validation_, 5)},
          {"validation/loss", loss / double(probabilities.size(0))}};
}

}  // namespace fovea
