#include "train/loop/resolve_config.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace fovea {
namespace {

constexpr int64_t overfit_steps = 500;

}  // namespace

TrainConfig resolve_config(TrainConfig c, int64_t training_images) {
  require(c.batch_size > 0, "`batch_size` is {}: give 1 or more", c.batch_size);
  if (c.overfit > 0) {  // show the same images unchanged in every step
    c.horizontal_flip = c.vertical_flip = false;
    c.scale_min = c.scale_max = 1;
    c.multi_scale = c.crop = c.mosaic = c.mixup = c.rotate = c.random_erasing = 0;
    c.brightness = c.contrast = c.saturation = c.hue = 0;
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
  const double adamw_rate = c.task == "detection" ? 0.018 : 0.005;  // docs/training.md lists the rates tried
  if (c.learning_rate == 0)
    c.learning_rate = sgd ? 0.08 * double(images) / 64 : adamw_rate * std::sqrt(double(images) / 4);
  // Averages over a tenth of the training: 0.999 averages over 1000 steps, which may be all of a short one.
  if (c.beta2 == 0) c.beta2 = std::clamp(1 - 10.0 / double(c.steps), 0.9, 0.999);
  if (c.weight_decay < 0) c.weight_decay = sgd ? 4e-5 : 0.01;
  c.box_loss_weight = box_loss_weight(c);
  if (c.warmup_steps == 0)
    c.warmup_steps = std::clamp<int64_t>(std::llround(per_epoch), 1, std::max<int64_t>(1, c.steps / 10));
  // The paper's 0.9998 averages over 5000 steps of its 500,000; a short training must not average over its
  // own beginning.
  if (c.ema_decay == 0) c.ema_decay = std::clamp(1 - 20.0 / double(c.steps), 0.5, 0.9998);
  // Running averages that still contain their initial values make the evaluation of a short training wrong.
  // They are updated with each batch, accumulated or not.
  if (c.batch_norm_momentum == 0)
    c.batch_norm_momentum = std::clamp(10.0 / double(c.steps * c.accumulate), 0.01, 0.1);
  return c;
}

double box_loss_weight(const TrainConfig& c) {
  if (c.box_loss_weight >= 0) return c.box_loss_weight;
  return c.box_loss == "huber" ? 50 : 1;
}

OptimizerOptions optimizer_options(const TrainConfig& c) {
  OptimizerOptions options;
  options.kind = c.optimizer == "sgd" ? OptimizerOptions::Kind::sgd : OptimizerOptions::Kind::adamw;
  options.momentum = c.momentum;
  if (c.beta2 > 0) options.beta2 = c.beta2;
  options.weight_decay = c.weight_decay;
  options.clip_norm = c.clip_norm;
  return options;
}

std::vector<NamedTensor> trained_parameters(const Module& model) {
  std::vector<NamedTensor> parameters = model.parameters();
  std::erase_if(parameters, [](const NamedTensor& p) { return !p.tensor.requires_grad(); });
  return parameters;
}

}  // namespace fovea
