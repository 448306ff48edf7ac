#include "train/loop/gradient_step.h"

#include "ops/arithmetic.h"
#include "train/data/random_stream.h"
#include "train/parallel/data_parallel.h"

namespace fovea {
namespace {

// Adds the losses of one more batch to those of a step; the first batch creates them.
void add_losses(std::vector<NamedTensor>& sums, const std::vector<NamedTensor>& losses) {
  for (size_t i = 0; i < losses.size(); ++i)
    if (i < sums.size())
      sums[i].tensor = sums[i].tensor + losses[i].tensor.detach();
    else
      sums.push_back({losses[i].name, losses[i].tensor.detach()});
}

}  // namespace

GradientStep::GradientStep(Task& task, const TrainConfig& config, ProcessGroup& group)
    : task_(task),
      group_(group),
      accumulate_(config.accumulate),
      workers_(workers_for(task.model().device(), config.workers)),
      seed_(uint64_t(config.seed)),
      parameters_(task.model().parameters()) {
  for (int64_t k = 0; k < accumulate_; ++k)
    batches_.emplace_back(task.model().device(), config.multi_scale > 0);
  task.model().set_process_group(group.size() > 1 ? &group : nullptr);
}

void GradientStep::start(int64_t first, int64_t end) {
  prefetch_ = std::make_unique<Prefetch<Batch>>(int(workers_), size_t(workers_) + 2, first * accumulate_,
                                                end * accumulate_,
                                                [this](int64_t index) { return task_.make_batch(index); });
}

void GradientStep::load(int64_t step) {
  for (int64_t k = 0; k < accumulate_; ++k)
    batches_[size_t(k)].load(prefetch_->next(), step * accumulate_ + k);
}

std::vector<NamedTensor> GradientStep::compute() {
  const Recipe& recipe = task_.recipe();
  const double parts = recipe.losses_are_means ? double(accumulate_ * group_.size()) : 1;
  recipe.model->clear_gradients();
  const ParameterCasts::Scope scope(recipe.casts);
  std::vector<Batch> batches;
  for (const DeviceBatch& loaded : batches_) batches.push_back(loaded.batch());
  batches = task_.prepare(std::move(batches));
  std::vector<NamedTensor> sums;
  for (size_t k = 0; k < batches.size(); ++k) {
    // Dropout and stochastic depth draw different numbers for each batch and in each process.
    recipe.model->rng() = Random(seed_, stream_of(RandomStream::dropout, group_.rank()));
    recipe.model->rng().set_step(batches_[k].index());
    std::vector<NamedTensor> losses = recipe.losses_of(batches[k]);
    if (parts > 1)
      for (NamedTensor& loss : losses) loss.tensor = loss.tensor / parts;
    losses.front().tensor.backward();
    add_losses(sums, losses);
  }
  recipe.model->rng().set_step(nullptr);  // the batches own the index, and the network may outlive them
  all_reduce_gradients(group_, parameters_);
  Tensors numbers;
  for (const NamedTensor& sum : sums) numbers.push_back(sum.tensor);
  all_reduce(group_, numbers);
  return sums;
}

}  // namespace fovea
