#include "train/loop/trainer.h"

#include <cmath>
#include <filesystem>

#include "core/error.h"
#include "core/file.h"
#include "train/parallel/data_parallel.h"

namespace fovea {
namespace {

constexpr int64_t steps_between_metrics = 20, steps_shown_at_once = 2;

}  // namespace

Trainer::Trainer(Task& task, TrainingState state, std::string folder, TrainHooks hooks, ProcessGroup& group)
    : task_(task),
      state_(std::move(state)),
      folder_(std::move(folder)),
      hooks_(std::move(hooks)),
      group_(group),
      schedule_{state_.config.learning_rate, state_.config.warmup_steps, state_.config.steps},
      training_step_(task, state_.config, group) {}

void Trainer::resume(const Checkpoint& checkpoint) {
  const TrainingState& saved = checkpoint.state();
  TrainConfig config = saved.config;  // the data set may have moved, but not changed
  const bool moved = config.data != state_.config.data;
  config.data = state_.config.data;
  const auto same = [](const std::string& then, const std::string& now) {
    return then.empty() || then == now;
  };
  const char* changed = saved.class_names != state_.class_names                ? "its classes"
                        : config != state_.config                              ? "the number of its images"
                        : !same(saved.labels_checksum, state_.labels_checksum) ? "its labels"
                        : moved && !same(saved.files_checksum, state_.files_checksum) ? "its images"
                                                                                      : nullptr;
  if (changed)
    fail(
        "the run in {} was started on other data: {} has changed since ({}). Start a new run in another "
        "folder",
        folder_, state_.config.data, changed);
  checkpoint.restore("model.", state_dict(task_.model()));
  checkpoint.restore("ema.", training_step_.ema().state());
  checkpoint.restore("optimizer.", training_step_.optimizer().state());
  state_.step = checkpoint.state().step;
  state_.best = checkpoint.state().best;
  state_.measured_since_best = checkpoint.state().measured_since_best;
  if (!std::filesystem::exists(folder_ + "/metrics.csv")) return;
  for (const MetricsRow& row : read_metrics(folder_ + "/metrics.csv"))
    if (row.step <= state_.step) seconds_before_ = std::max(seconds_before_, row.seconds);
}

bool Trainer::run() {
  open_folder();
  first_step_ = state_.step;
  task_.model().set_training(true);
  training_step_.start(state_.step, state_.config.steps);
  clock_ = {};
  while (!done() && !out_of_patience()) {
    one_step();
    update_progress();
    const Due due = due_after_step();
    if (due.losses) read_losses();
    if (due.metrics) write_losses();
    if (due.evaluation) {
      evaluate();
      clock_.skip();
    }
    if (hooks_.on_step) hooks_.on_step(progress_);
    const bool early = !done() && out_of_patience();
    if (early) tell_no_patience();
    if (due.checkpoint || early) save("last");
    if (due.stop && !done() && !early) return false;
  }
  return true;
}

void Trainer::open_folder() {
  any_process(group_, false);  // all processes have read the folder by now
  if (!group_.is_main_process()) return;
  create_folder(folder_);
  write_file_atomically(folder_ + "/config.json", config_to_json(state_.config) + "\n");
  metrics_ = std::make_unique<MetricsWriter>(folder_, state_.step);
}

void Trainer::one_step() {
  const TrainConfig& c = state_.config;
  const bool frozen = double(state_.step) >= c.freeze_statistics_at * double(c.steps);
  training_step_.run(state_.step, schedule_(state_.step), frozen);
  ++state_.step;
}

void Trainer::update_progress() {
  clock_.step_done();
  const double images = double(images_per_step(state_.config));
  progress_.step = state_.step;
  progress_.steps = state_.config.steps;
  progress_.epoch = double(state_.step) * images / double(task_.training_images());
  progress_.images_per_second = images / clock_.seconds_per_step();
  progress_.waiting = training_step_.gradients().seconds_waited() / std::max(1e-9, clock_.seconds());
  progress_.seconds_left = clock_.seconds_per_step() * double(state_.config.steps - state_.step);
}

Trainer::Due Trainer::due_after_step() const {
  Due due;
  due.stop = any_process(group_, hooks_.stop && *hooks_.stop);
  due.metrics = done() || due.stop || state_.step % steps_between_metrics == 0;
  due.evaluation = done() || every(state_.config.validate_every);
  due.checkpoint = done() || due.stop || every(state_.config.checkpoint_every);
  // What is evaluated or saved must be good, and a step on the device may have failed unnoticed. The first
  // steps also report their loss: they are not a graph yet, so waiting for them costs little.
  due.losses = task_.model().device() == Device::cpu || due.metrics || due.evaluation || due.checkpoint ||
               clock_.steps() <= steps_shown_at_once;
  return due;
}

void Trainer::read_losses() {
  const int64_t steps = training_step_.steps_unread();
  const NamedValues means = training_step_.take_losses();
  check_losses(means, state_.step - steps);
  collect(means, steps);
}

// Throws Error if a loss is not finite. The weights are then those before the step that failed; on CUDA they
// are those of a few steps later, without the update of the failed step.
void Trainer::check_losses(const NamedValues& losses, int64_t first) {
  std::string what;
  for (const auto& [name, value] : losses)
    if (what.empty() && !std::isfinite(value))
      what = fmt::format("{} is {}", name, std::isnan(value) ? "nan" : "infinite");
  const bool skipped = training_step_.optimizer().skipped() > 0;
  if (what.empty() && !skipped) return;
  if (what.empty())
    what = fmt::format("the gradient is not finite although the loss is {:.4g}", losses.front().second);
  int64_t last = state_.step - 1;
  if (skipped) first = last = first_step_ + training_step_.optimizer().first_skipped();
  const std::string when =
      first == last ? fmt::format("at step {}", first) : fmt::format("between steps {} and {}", first, last);
  if (task_.model().device() == Device::cuda) {  // its inputs are those of a later step by now
    training_step_.gradients().start(first, first + 1);
    training_step_.gradients().load(first);
  }
  // Not with several processes: one that stops here would leave the others waiting.
  const auto found = group_.size() > 1
                         ? std::nullopt
                         : find_non_finite(task_.model(), [this] { training_step_.gradients().compute(); });
  const double rate = schedule_(last);
  const std::string checkpoint = folder_ + "/last.safetensors";
  fail("the training diverged: {} {} (learning rate {:.4g}){}. {}{}", what, when, rate,
       found ? "; " + describe(*found) : "", advice_on_divergence(state_.config, last, rate, found),
       std::filesystem::exists(checkpoint)
           ? fmt::format("; a new run can start from the last good weights: `init_from` {}", checkpoint)
           : "");
}

// Adds the mean losses of `steps` steps to the sums for the next row of metrics.
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

void Trainer::write_metrics(const NamedValues& values) {
  if (metrics_) metrics_->write(state_.step, progress_.epoch, seconds_before_ + clock_.seconds(), values);
}

void Trainer::write_losses() {
  for (auto& [name, sum] : sums_) sum /= double(summed_);
  sums_.emplace_back("train/learning_rate", schedule_(state_.step - 1));
  sums_.emplace_back("train/images_per_second", progress_.images_per_second);
  sums_.emplace_back("train/waiting_for_images", progress_.waiting);
  write_metrics(sums_);
  sums_.clear();
  summed_ = 0;
}

// Whether the step just done ends an interval of `epochs` epochs.
bool Trainer::every(double epochs) const {
  if (epochs <= 0) return false;
  const double interval = epochs * double(task_.training_images()) / double(images_per_step(state_.config));
  return std::floor(double(state_.step) / interval) > std::floor(double(state_.step - 1) / interval);
}

void Trainer::evaluate() {
  {
    const EmaScope averaged(task_.model(), training_step_.ema());
    progress_.figures = task_.evaluate();
  }
  write_metrics(progress_.figures);
  if (progress_.figures.empty()) return;
  const double figure = progress_.figures.front().second;
  const bool finite = std::isfinite(figure);
  state_.measured_since_best =
      finite && (!state_.best || figure > *state_.best) ? 0 : state_.measured_since_best + 1;
  if (!finite || (state_.best && figure < *state_.best)) return;
  state_.best = figure;
  save("best");
}

void Trainer::tell_no_patience() const {
  if (!hooks_.on_message) return;
  hooks_.on_message(fmt::format(
      "stops at step {} of {}: the last {} evaluations were {}", state_.step, state_.config.steps,
      state_.measured_since_best,
      state_.best ? fmt::format("no better than the best ({:.4f})", *state_.best) : "not finite"));
}

bool Trainer::out_of_patience() const {
  return state_.config.patience > 0 && state_.measured_since_best >= state_.config.patience;
}

void Trainer::save(const std::string& name) const {
  if (!group_.is_main_process()) return;
  save_checkpoint(fmt::format("{}/{}.safetensors", folder_, name), state_, state_dict(task_.model()),
                  training_step_.ema().state(), training_step_.optimizer().state());
}

}  // namespace fovea
