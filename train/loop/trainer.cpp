#include "train/loop/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>

#include "core/error.h"
#include "core/file.h"
#include "core/processes.h"
#include "cuda/runtime/peers.h"
#include "ops/arithmetic.h"
#include "train/parallel/data_parallel.h"

namespace fovea {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

constexpr int64_t steps_between_metrics = 20, overfit_steps = 500;
constexpr int warm_up_steps = 2;  // of a graph

}  // namespace

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

TrainConfig resolve_config(TrainConfig c, int64_t training_images) {
  if (c.batch_size == 0) c.batch_size = c.task == "detection" ? 4 : 16;
  if (c.overfit > 0) {  // the same pictures in the same way each time, as often as it takes
    c.horizontal_flip = c.vertical_flip = false;
    c.scale_min = c.scale_max = 1;
    c.batch_size = std::min(c.batch_size, training_images);
    if (c.steps == 0) c.steps = overfit_steps;
  }
  const int64_t images = images_per_step(c);
  const double per_epoch = double(training_images) / double(images);
  if (c.steps == 0) c.steps = std::max<int64_t>(1, std::llround(c.epochs * per_epoch));
  c.epochs = double(c.steps) / per_epoch;
  if (c.overfit > 0) {  // an epoch is a step or two
    c.validate_every = std::max(c.validate_every, c.epochs / 10);
    c.checkpoint_every = std::max(c.checkpoint_every, c.epochs / 10);
  }
  const bool sgd = c.optimizer == "sgd";
  if (c.learning_rate == 0)
    c.learning_rate = sgd ? 0.08 * double(images) / 64 : 0.005 * std::sqrt(double(images) / 4);
  if (c.weight_decay < 0) c.weight_decay = sgd ? 4e-5 : 0.01;
  if (c.warmup_steps == 0)
    c.warmup_steps = std::clamp<int64_t>(std::llround(per_epoch), 1, std::max<int64_t>(1, c.steps / 10));
  // The paper's 0.9998 averages over 5000 steps of its 500,000; a short training must not average over its
  // own beginning.
  if (c.ema_decay == 0) c.ema_decay = std::clamp(1 - 20.0 / double(c.steps), 0.5, 0.9998);
  // Running averages that still remember how they began make the evaluation of a short training wrong.
  // They are updated with each batch, accumulated or not.
  if (c.batch_norm_momentum == 0)
    c.batch_norm_momentum = std::clamp(10.0 / double(c.steps * c.accumulate), 0.01, 0.1);
  return c;
}

void add_losses(std::vector<NamedTensor>& sums, const std::vector<NamedTensor>& losses) {
  for (size_t i = 0; i < losses.size(); ++i)
    if (i < sums.size())
      sums[i].tensor = sums[i].tensor + losses[i].tensor;
    else
      sums.push_back(losses[i]);
}

Trainer::Trainer(Task& task, TrainingState state, std::string folder, TrainHooks hooks)
    : task_(task),
      state_(std::move(state)),
      folder_(std::move(folder)),
      hooks_(std::move(hooks)),
      schedule_{state_.config.learning_rate, state_.config.warmup_steps, state_.config.steps},
      parameters_(trained_parameters(task.model())),
      optimizer_(parameters_, optimizer_options(state_.config)),
      ema_(task.model(), state_.config.ema_decay) {}

void Trainer::resume(const Checkpoint& checkpoint) {
  require(checkpoint.state().config == state_.config && checkpoint.state().class_names == state_.class_names,
          "the run in {} was started on other data: {} has changed since; start a new run (--run)", folder_,
          state_.config.data);
  checkpoint.restore("model.", state_dict(task_.model()));
  checkpoint.restore("ema.", ema_.state());
  checkpoint.restore("optimizer.", optimizer_.state());
  state_.step = checkpoint.state().step;
  state_.best = checkpoint.state().best;
  state_.measured_since_best = checkpoint.state().measured_since_best;
  if (!std::filesystem::exists(folder_ + "/metrics.csv")) return;
  for (const MetricsRow& row : read_metrics(folder_ + "/metrics.csv"))
    if (row.step <= state_.step) seconds_before_ = std::max(seconds_before_, row.seconds);
}

bool Trainer::run() {
  any_process(false);  // all have seen the folder as it was
  if (is_main_process()) {
    create_folder(folder_);
    write_file_atomically(folder_ + "/config.json", config_to_json(state_.config) + "\n");
    metrics_ = std::make_unique<MetricsWriter>(folder_, state_.step);
  }
  const TrainConfig& c = state_.config;
  const double start = now();
  double last = start, average_time = 0;
  int64_t steps_here = 0;
  progress_.steps = c.steps;
  first_step_ = state_.step;
  task_.model().set_training(true);
  task_.start(state_.step, c.steps);
  while (state_.step < c.steps && !out_of_patience()) {
    one_step();
    const double time = now() - last;
    average_time += (time - average_time) *
                    std::max(0.03, 1.0 / double(++steps_here));  // follows a machine that slows down
    last = now();
    progress_.step = state_.step;
    progress_.epoch = double(state_.step * images_per_step(c)) / double(task_.training_images());
    progress_.images_per_second = double(images_per_step(c)) / average_time;
    progress_.waiting = task_.seconds_waited() / std::max(1e-9, now() - start);
    progress_.seconds_left = average_time * double(c.steps - state_.step);
    const bool done = state_.step == c.steps, stopping = any_process(hooks_.stop && *hooks_.stop);
    // What is measured or kept must be good: a step on the device may have failed unseen. And the first steps
    // already have a loss to show: they are no graph yet, so that to wait for them costs little.
    if (done || stopping || steps_here <= warm_up_steps || state_.step % steps_between_metrics == 0 ||
        every(c.validate_every) || every(c.checkpoint_every))
      read_losses();
    if (summed_ > 0 && (done || stopping || state_.step % steps_between_metrics == 0)) {
      for (auto& [name, sum] : sums_) sum /= double(summed_);
      sums_.emplace_back("train/learning_rate", schedule_.learning_rate(state_.step - 1));
      sums_.emplace_back("train/images_per_second", progress_.images_per_second);
      sums_.emplace_back("train/waiting_for_images", progress_.waiting);
      if (metrics_) metrics_->write(state_.step, progress_.epoch, seconds_before_ + now() - start, sums_);
      sums_.clear();
      summed_ = 0;
    }
    if (done || every(c.validate_every)) {
      evaluate();
      if (metrics_)
        metrics_->write(state_.step, progress_.epoch, seconds_before_ + now() - start, progress_.figures);
      last = now();
    }
    if (hooks_.on_step) hooks_.on_step(progress_);
    const bool early = !done && out_of_patience();
    if (early && hooks_.on_message)
      hooks_.on_message(fmt::format(
          "stops at step {} of {}: the last {} measurements were {}", state_.step, c.steps,
          state_.measured_since_best,
          state_.best ? fmt::format("no better than the best ({:.4f})", *state_.best) : "not finite"));
    if (done || early || stopping || every(c.checkpoint_every)) save("last");
    if (stopping && !done && !early) return false;
  }
  return true;
}

// What a step asks of the device, and all of it.
void Trainer::compute() {
  task_.model().clear_gradients();
  losses_ = task_.compute();
  if (processes()) {
    sum_gradients(parameters_);
    std::vector<Tensor> losses;
    for (const NamedTensor& loss : losses_) losses.push_back(loss.tensor);
    sum_tensors(losses);
  }
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
  if (graph_->captured()) return graph_->replay();
  const bool never = cuda::peers() && !cuda::peers()->can_be_captured();
  if (never || warm_ups_++ < warm_up_steps) return graph_->warm_up(work);
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
  const bool frozen = double(state_.step) >= c.freeze_statistics_at * double(c.steps);
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

// Throws where a loss is not a finite number; the weights are then those before the step that failed, on CUDA
// of a few steps later, in which the update of that step was left out.
void Trainer::check_losses(const NamedValues& losses, int64_t first) {
  std::string what;
  for (const auto& [name, value] : losses)
    if (what.empty() && !std::isfinite(value))
      what = fmt::format("{} is {}", name, std::isnan(value) ? "nan" : "infinite");
  const bool skipped = optimizer_.skipped() > 0;
  if (what.empty() && !skipped) return;
  if (what.empty())
    what = fmt::format("the gradient is not finite although the loss is {:.4g}", losses.front().second);
  int64_t last = std::max(first, state_.step - 1);
  if (skipped) first = last = first_step_ + optimizer_.first_skipped();
  const std::string when =
      first == last ? fmt::format("at step {}", first) : fmt::format("between steps {} and {}", first, last);
  if (task_.model().device() == Device::cuda) {  // whose inputs are those of a later step by now
    task_.start(first, first + 1);
    task_.load(first);
  }
  // Not with several processes: one that stops at what it finds would leave the others waiting.
  const auto found = processes() ? std::nullopt : find_non_finite(task_.model(), [this] { task_.compute(); });
  const double rate = schedule_.learning_rate(last);
  const std::string checkpoint = folder_ + "/last.safetensors";
  fail("the training diverged: {} {} (learning rate {:.4g}){}. {}{}", what, when, rate,
       found ? "; " + describe(*found) : "", advice_on_divergence(state_.config, last, rate, found),
       std::filesystem::exists(checkpoint)
           ? fmt::format("; a new run can start from the last good weights: --init-from {}", checkpoint)
           : "");
}

// Adds the mean losses of so many steps to what the next row of metrics will say.
void Trainer::collect(const NamedValues& losses, int64_t steps) {
  if (sums_.empty())
    for (const auto& [name, value] : losses) sums_.emplace_back(name, 0.0);
  for (size_t i = 0; i < losses.size(); ++i) sums_[i].second += losses[i].second * double(steps);
  summed_ += steps;
  const double loss = losses.front().second, share = 1 - std::pow(0.95, double(steps));
  average_loss_ = average_loss_ ? *average_loss_ + share * (loss - *average_loss_) : loss;
  progress_.loss = *average_loss_;
  if (const auto warning = loss_watch_.see(state_.step, progress_.loss); warning && hooks_.on_message)
    hooks_.on_message(*warning);
}

// Whether the step just done ends one of the intervals of so many epochs.
bool Trainer::every(double epochs) const {
  if (epochs <= 0) return false;
  const double interval = epochs * double(task_.training_images()) / double(images_per_step(state_.config));
  return std::floor(double(state_.step) / interval) > std::floor(double(state_.step - 1) / interval);
}

void Trainer::evaluate() {
  {
    const EmaScope averaged(task_.model(), ema_);
    progress_.figures = task_.evaluate();
  }
  if (progress_.figures.empty()) return;
  const double figure = progress_.figures.front().second;
  const bool finite = std::isfinite(figure);
  state_.measured_since_best =
      finite && (!state_.best || figure > *state_.best) ? 0 : state_.measured_since_best + 1;
  if (!finite || (state_.best && figure < *state_.best)) return;
  state_.best = figure;
  save("best");
}

bool Trainer::out_of_patience() const {
  return state_.config.patience > 0 && state_.measured_since_best >= state_.config.patience;
}

void Trainer::save(const std::string& name) const {
  if (!is_main_process()) return;
  save_checkpoint(fmt::format("{}/{}.safetensors", folder_, name), state_, state_dict(task_.model()),
                  ema_.state(), optimizer_.state());
}

}  // namespace fovea
