#include "train/loop/divergence.h"

#include "core/error.h"

namespace fovea {

std::string describe(const NonFinite& found) {
  const std::string with = found.tensor.empty() ? "" : (found.direct ? " with " : ", after ") + found.tensor;
  if (found.given)
    return fmt::format("{}{} read a number that is not finite ({})", found.op, with, found.shape);
  return fmt::format("the first number that is not finite is in the {} of {}{} ({})",
                     found.backward ? "gradient" : "output", found.op, with, found.shape);
}

std::optional<NonFinite> find_non_finite(const Module& model, const std::function<void()>& step) {
  // Running averages that the failed step has spoilt did not cause the failure: training only writes them.
  for (const NamedTensor& buffer : model.buffers())
    if (!all_finite(buffer.tensor)) buffer.tensor.fill(1);
  std::vector<AnomalyCheck::Name> names;
  for (const NamedTensor& weight : state_dict(model)) names.push_back({weight.name, weight.tensor});
  const AnomalyCheck check(names);
  model.clear_gradients();
  step();
  return check.first();
}

std::string advice_on_divergence(const TrainConfig& config, int64_t step, double learning_rate,
                                 const std::optional<NonFinite>& found) {
  if (found && found->given && !found->direct)
    return "It came from the images or their labels: check them with `fovea data check`";
  std::string advice = step < config.warmup_steps
                           ? fmt::format(
                                 "The learning rate rises too far or too fast for this network: try "
                                 "`learning_rate` {:.2g}, or more `warmup_steps` than {}",
                                 config.learning_rate / 3, config.warmup_steps)
                           : fmt::format("The learning rate is probably too high: try `learning_rate` {:.2g}",
                                         config.learning_rate / 3);
  if (learning_rate < 1e-6)
    advice = "The learning rate is probably not the cause: check the data (`fovea data check`)";
  if (config.clip_norm == 0) advice += ", and `clip_norm` 10";
  if (config.precision == "bfloat16" || (config.precision == "auto" && config.device == "cuda"))
    advice += "; `precision` float32 shows whether the cause is bfloat16's low precision";
  return advice;
}

std::optional<std::string> LossWatch::see(int64_t step, double loss) {
  constexpr double far_above = 3;
  constexpr int64_t long_enough = 100;
  if (first_ < 0) first_ = loss;
  if (loss < best_) {
    best_ = loss;
    best_step_ = step;
  }
  if (loss <= far_above * best_ || loss <= 0.1 * first_) {
    above_since_ = -1;
    return {};
  }
  if (above_since_ < 0) above_since_ = step;
  if (told_ || step - above_since_ < long_enough) return {};
  told_ = true;
  return fmt::format(
      "warning: the loss has been above three times its best ({:.4g} at step {}) for {} steps and is {:.4g}: "
      "the training seems to diverge; stop it and try a smaller `learning_rate` or more `warmup_steps`",
      best_, best_step_, step - above_since_, loss);
}

}  // namespace fovea
