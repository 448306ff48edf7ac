#include "train/loop/training_step.h"

#include "ops/arithmetic.h"
#include "train/loop/resolve_config.h"

namespace fovea {

TrainingStep::TrainingStep(Task& task, const TrainConfig& config, ProcessGroup& group)
    : task_(task),
      capturable_(group.can_be_captured() && config.multi_scale == 0),
      gradients_(task, config, group),
      optimizer_(trained_parameters(task.model()), optimizer_options(config)),
      ema_(task.model(), config.ema_decay) {}

void TrainingStep::prepare_update(int64_t step, double learning_rate) {
  optimizer_.prepare(step, learning_rate);
  ema_.prepare(step);
}

// All the work that a step submits to the device.
void TrainingStep::compute() {
  losses_ = gradients_.compute();
  optimizer_.apply();
  ema_.apply();
  if (sums_.empty())
    for (const NamedTensor& loss : losses_) sums_.push_back(zeros_like(loss.tensor));
  for (size_t i = 0; i < losses_.size(); ++i) accumulate(sums_[i], losses_[i].tensor);
}

void TrainingStep::run(int64_t step, double learning_rate, bool frozen) {
  task_.model().freeze_statistics(frozen);
  gradients_.load(step);
  prepare_update(step, learning_rate);
  if (task_.model().device() == Device::cpu) {
    compute();
  } else {
    if (!graph_ || frozen != frozen_) {
      graph_ = std::make_unique<cuda::Graph>();
      frozen_ = frozen;
    }
    const auto work = [this] { compute(); };
    if (capturable_)
      graph_->run(work, [&] { prepare_update(step, learning_rate); });
    else
      graph_->warm_up(work);
  }
  ++unread_;
}

NamedValues TrainingStep::take_losses() {
  NamedValues means;
  for (size_t i = 0; i < sums_.size(); ++i) {
    means.emplace_back(losses_[i].name, sums_[i].item() / double(unread_));
    sums_[i].fill(0);
  }
  unread_ = 0;
  return means;
}

}  // namespace fovea
