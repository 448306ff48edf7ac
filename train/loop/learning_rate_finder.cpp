#include "train/loop/learning_rate_finder.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/file.h"
#include "train/loop/gradient_step.h"
#include "train/loop/resolve_config.h"
#include "train/report/svg_chart.h"

namespace fovea {
namespace {

constexpr double first_rate = 1e-6, last_rate = 10;
constexpr int64_t trial_steps = 120;
constexpr double keep = 0.9;       // of the running average of the loss, at each step
constexpr double diverged_at = 4;  // times the lowest loss
constexpr size_t settled = 10;     // steps until the running average is meaningful

// Finds where the smoothed loss falls fastest with the logarithm of the rate, before its minimum. It compares
// points nine steps apart, since the running average follows that slowly.
void suggest(LearningRateSearch& search) {
  constexpr size_t reach = 4;
  const auto& t = search.trials;
  const size_t begin = std::min(settled, t.size() - 1);
  const size_t least = size_t(
      std::min_element(t.begin() + long(begin), t.end(), [](auto& a, auto& b) { return a.loss < b.loss; }) -
      t.begin());
  search.lowest = t[least].learning_rate;
  search.suggested = search.fastest = search.lowest / 10;
  double steepest = 0;
  for (size_t i = begin + reach; i + reach <= least; ++i) {
    const double slope = t[i + reach].loss - t[i - reach].loss;
    if (slope < steepest) steepest = slope, search.fastest = t[i].learning_rate;
  }
}

}  // namespace

LearningRateSearch find_learning_rate(Task& task, const TrainConfig& config, const TrainHooks& hooks) {
  Optimizer optimizer(trained_parameters(task.model()), optimizer_options(config));
  LearningRateSearch search;
  GradientStep gradients(task, config);
  task.model().set_training(true);
  gradients.start(0, trial_steps);
  double average = 0, least = INFINITY;
  for (int64_t step = 0; step < trial_steps; ++step) {
    require(!hooks.stop || !*hooks.stop, "stopped: no learning rate was found");
    const double rate = first_rate * std::pow(last_rate / first_rate, double(step) / double(trial_steps - 1));
    gradients.load(step);
    const double loss = gradients.compute().front().tensor.item();
    if (!std::isfinite(loss)) {
      search.diverged = true;
      break;
    }
    average = keep * average + (1 - keep) * loss;
    const double smoothed = average / (1 - std::pow(keep, double(step + 1)));
    search.trials.push_back({rate, smoothed});
    if (size_t(step) >= settled) least = std::min(least, smoothed);
    if (smoothed > diverged_at * least) {
      search.diverged = true;
      break;
    }
    optimizer.update(step, rate);
    if (hooks.on_step) hooks.on_step({.step = step + 1, .steps = trial_steps, .loss = smoothed});
  }
  require(search.trials.size() > settled,
          "the loss is not finite after {} steps at the smallest learning rates: check the data (`fovea data "
          "check`)",
          search.trials.size());
  suggest(search);
  return search;
}

std::string learning_rate_table(const LearningRateSearch& search, size_t rows) {
  std::string text = "learning rate      loss\n";
  const size_t stride = (search.trials.size() + rows - 1) / rows;
  for (size_t i = 0; i < search.trials.size(); i += stride)
    text += fmt::format("{:>13.2e} {:>9.4f}\n", search.trials[i].learning_rate, search.trials[i].loss);
  text += fmt::format("the loss falls fastest at {:.2g}, and is lowest at {:.2g}{}\n", search.fastest,
                      search.lowest, search.diverged ? "; beyond that it rises" : "");
  return text + fmt::format("suggested: `learning_rate` {:.2g}\n", search.suggested);
}

void write_learning_rate_search(const LearningRateSearch& search, const std::string& folder) {
  create_folder(folder);
  std::string csv = "learning_rate,loss\n";
  Curve curve{"loss", {}, {}};
  const double highest = 1.5 * search.trials.front().loss;
  for (const auto& [rate, loss] : search.trials) {
    csv += fmt::format("{:.6g},{:.6g}\n", rate, loss);
    curve.x.push_back(std::log10(rate));
    curve.y.push_back(std::min(loss, highest));  // the chart must show how far the loss falls
  }
  write_file_atomically(folder + "/learning_rate.csv", csv);
  write_file_atomically(
      folder + "/learning_rate.svg",
      svg_chart({"Loss at increasing learning rates", "log10 of the learning rate", "loss", {curve}}));
}

}  // namespace fovea
