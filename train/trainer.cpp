#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>

#include "core/error.h"
#include "core/file.h"

namespace fovea {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

constexpr int64_t steps_between_metrics = 20;

OptimizerOptions optimizer_options(const TrainConfig& c) {
  OptimizerOptions options;
  options.kind = c.optimizer == "sgd" ? OptimizerOptions::Kind::sgd : OptimizerOptions::Kind::adamw;
  options.momentum = c.momentum;
  options.weight_decay = c.weight_decay;
  options.clip_norm = c.clip_norm;
  return options;
}

std::vector<NamedTensor> trained_parameters(const Module& model) {
  std::vector<NamedTensor> parameters = model.parameters();
  std::erase_if(parameters, [](const NamedTensor& p) { return !p.tensor.requires_grad(); });
  return parameters;
}

}  // namespace

TrainConfig resolve_config(TrainConfig c, int64_t training_images) {
  if (c.batch_size == 0) c.batch_size = c.task == "detection" ? 4 : 16;
  const double per_epoch = double(training_images) / double(c.batch_size);
  if (c.steps == 0) c.steps = std::max<int64_t>(1, std::llround(c.epochs * per_epoch));
  c.epochs = double(c.steps) / per_epoch;
  const bool sgd = c.optimizer == "sgd";
  if (c.learning_rate == 0)
    c.learning_rate = sgd ? 0.08 * double(c.batch_size) / 64 : 0.005 * std::sqrt(double(c.batch_size) / 4);
  if (c.weight_decay < 0) c.weight_decay = sgd ? 4e-5 : 0.01;
  if (c.warmup_steps == 0)
    c.warmup_steps = std::clamp<int64_t>(std::llround(per_epoch), 1, std::max<int64_t>(1, c.steps / 10));
  // The paper's 0.9998 averages over 5000 steps of its 500,000; a short training must not average over its
  // own beginning.
  if (c.ema_decay == 0) c.ema_decay = std::clamp(1 - 20.0 / double(c.steps), 0.5, 0.9998);
  // Running averages that still remember how they began make the evaluation of a short training wrong.
  if (c.batch_norm_momentum == 0) c.batch_norm_momentum = std::clamp(10.0 / double(c.steps), 0.01, 0.1);
  return c;
}

Trainer::Trainer(Task& task, TrainingState state, std::string folder, TrainHooks hooks)
    : task_(task),
      state_(std::move(state)),
      folder_(std::move(folder)),
      hooks_(std::move(hooks)),
      schedule_{state_.config.learning_rate, state_.config.warmup_steps, state_.config.steps},
      optimizer_(trained_parameters(task.model()), optimizer_options(state_.config)),
      ema_(task.model(), state_.config.ema_decay) {}

void Trainer::resume(const Checkpoint& checkpoint) {
  require(checkpoint.state().config == state_.config && checkpoint.state().class_names == state_.class_names,
          "the run in {} was started on other data: {} has changed since; start a new run (--run)", folder_,
          state_.config.data);
  checkpoint.restore("model.", weights_of(task_.model()));
  checkpoint.restore("ema.", ema_.state());
  checkpoint.restore("optimizer.", optimizer_.state());
  state_.step = checkpoint.state().step;
  state_.best = checkpoint.state().best;
  if (!std::filesystem::exists(folder_ + "/metrics.csv")) return;
  for (const MetricsRow& row : read_metrics(folder_ + "/metrics.csv"))
    if (row.step <= state_.step) seconds_before_ = std::max(seconds_before_, row.seconds);
}

bool Trainer::run() {
  create_folder(folder_);
  write_file_atomically(folder_ + "/config.json", config_to_json(state_.config) + "\n");
  metrics_ = std::make_unique<MetricsWriter>(folder_, state_.step);
  const TrainConfig& c = state_.config;
  const double start = now();
  double last = start, average_time = 0;
  int64_t steps_here = 0;
  progress_.steps = c.steps;
  task_.model().set_training(true);
  task_.start(state_.step, c.steps);
  while (state_.step < c.steps) {
    one_step();
    const double time = now() - last;
    average_time += (time - average_time) *
                    std::max(0.03, 1.0 / double(++steps_here));  // follows a machine that slows down
    last = now();
    progress_.step = state_.step;
    progress_.epoch = double(state_.step * c.batch_size) / double(task_.training_images());
    progress_.images_per_second = double(c.batch_size) / average_time;
    progress_.waiting = task_.seconds_waited() / std::max(1e-9, now() - start);
    progress_.seconds_left = average_time * double(c.steps - state_.step);
    const bool done = state_.step == c.steps, stopping = hooks_.stop && *hooks_.stop;
    // What is measured or kept must be good: a step on the device may have failed unseen.
    if (done || stopping || state_.step % steps_between_metrics == 0 || every(c.validate_every) ||
        every(c.checkpoint_every))
      read_losses();
    if (summed_ > 0 && (done || stopping || state_.step % steps_between_metrics == 0)) {
      for (auto& [name, sum] : sums_) sum /= double(summed_);
      sums_.emplace_back("train/learning_rate", schedule_.learning_rate(state_.step - 1));
      sums_.emplace_back("train/images_per_second", progress_.images_per_second);
      sums_.emplace_back("train/waiting_for_images", progress_.waiting);
      metrics_->write(state_.step, progress_.epoch, seconds_before_ + now() - start, sums_);
      sums_.clear();
      summed_ = 0;
    }
    if (done || every(c.validate_every)) {
      evaluate();
      metrics_->write(state_.step, progress_.epoch, seconds_before_ + now() - start, progress_.figures);
      last = now();
    }
    if (hooks_.on_step) hooks_.on_step(progress_);
    if (done || stopping || every(c.checkpoint_every)) save("last");
    if (stopping && !done) return false;
  }
  return true;
}

// What a step asks of the device, and all of it.
void Trainer::compute() {
  task_.model().clear_gradients();
  losses_ = task_.compute();
  optimizer_.apply();
  ema_.apply();
}

// Two steps as they are, whose memory stays in the graph's pool; the third is recorded; from then on it is
// replayed.
void Trainer::run_on_device() {
  const auto work = [this] {
    compute();
    if (device_sums_.empty())
      for (const NamedTensor& loss : losses_) device_sums_.push_back(zeros_like(loss.tensor));
    for (size_t i = 0; i < losses_.size(); ++i) accumulate(device_sums_[i], losses_[i].tensor);
  };
  constexpr int warm_up_steps = 2;
  if (graph_->captured()) return graph_->replay();
  if (warm_ups_++ < warm_up_steps) return graph_->warm_up(work);
  graph_->capture(work);
  prepare_update();  // what a capture asked for beside the graph
  graph_->replay();
}

void Trainer::prepare_update() {
  optimizer_.prepare(state_.step, schedule_.learning_rate(state_.step));
  ema_.prepare(state_.step);
}

void Trainer::one_step() {
  const TrainConfig& c = state_.config;
  const bool frozen = double(state_.step) >= c.batch_norm_freeze * double(c.steps);
  task_.model().freeze_statistics(frozen);
  task_.load(state_.step);
  prepare_update();
  if (task_.model().device() == Device::cpu) {
    compute();
    NamedValues losses;
    for (const NamedTensor& loss : losses_) losses.emplace_back(loss.name, loss.tensor.item());
    check_losses(losses, state_.step);
    ++state_.step;
    return collect(losses, 1);
  }
  if (!graph_ || frozen != frozen_) {
    graph_ = std::make_unique<cuda::Graph>();
    warm_ups_ = 0;
    frozen_ = frozen;
  }
  run_on_device();
  ++state_.step;
  ++unread_;
}

void Trainer::read_losses() {
  if (unread_ == 0) return;
  NamedValues means;
  for (size_t i = 0; i < device_sums_.size(); ++i) {
    means.emplace_back(losses_[i].name, device_sums_[i].item() / double(unread_));
    device_sums_[i].fill(0);
  }
  check_losses(means, state_.step - unread_);
  collect(means, unread_);
  unread_ = 0;
}

// Throws where a loss is not a finite number; the weights are then those before the step that failed.
void Trainer::check_losses(const NamedValues& losses, int64_t first) const {
  const int64_t last = std::max(first, state_.step - 1);
  const std::string when =
      first == last ? fmt::format("at step {}", first) : fmt::format("between steps {} and {}", first, last);
  const double rate = schedule_.learning_rate(last);
  const auto advice =
      "Try a smaller --learning-rate or more --warmup-steps; the checkpoint of the last good epoch is kept, "
      "`fovea train --resume` goes on from it";
  for (const auto& [name, value] : losses)
    require(std::isfinite(value), "the training diverged: {} is {} {} (learning rate {:.4g}). {}", name,
            value, when, rate, advice);
  require(optimizer_.skipped() == 0,
          "the training diverged: the gradient is {} {} although the loss is {:.4g}. {}", optimizer_.norm(),
          when, losses.front().second, advice);
}

// Adds the mean losses of so many steps to what the next row of metrics will say.
void Trainer::collect(const NamedValues& losses, int64_t steps) {
  if (sums_.empty())
    for (const auto& [name, value] : losses) sums_.emplace_back(name, 0.0);
  for (size_t i = 0; i < losses.size(); ++i) sums_[i].second += losses[i].second * double(steps);
  summed_ += steps;
  const double loss = losses.front().second, share = 1 - std::pow(0.95, double(steps));
  progress_.loss = progress_.loss == 0 ? loss : progress_.loss + share * (loss - progress_.loss);
}

// Whether the step just done ends one of the intervals of so many epochs.
bool Trainer::every(double epochs) const {
  if (epochs <= 0) return false;
  const double interval = epochs * double(task_.training_images()) / double(state_.config.batch_size);
  return std::floor(double(state_.step) / interval) > std::floor(double(state_.step - 1) / interval);
}

void Trainer::evaluate() {
  {
    const EvaluatesWithEma averaged(task_.model(), ema_);
    progress_.figures = task_.evaluate();
  }
  if (progress_.figures.empty() || progress_.figures.front().second < state_.best) return;
  state_.best = progress_.figures.front().second;
  save("best");
}

void Trainer::save(const std::string& name) const {
  save_checkpoint(fmt::format("{}/{}.safetensors", folder_, name), state_, weights_of(task_.model()),
                  ema_.state(), optimizer_.state());
}

}  // namespace fovea
