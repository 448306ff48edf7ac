#pragma once
#include <memory>
#include <string>
#include <variant>

#include "train/classification/classifier.h"
#include "train/detection/detector.h"
#include "train/loop/task.h"

namespace fovea {

// What a file holds: a network that finds boxes, or one that names whole images. To be told apart by
// std::visit, so that no kind can be forgotten.
using TrainedModel = std::variant<Detector, Classifier>;

// What differs between the kinds of task that a configuration can name: the only place that asks for
// TrainConfig::task.
struct TaskKind {
  const char* name;           // TrainConfig::task
  const char* default_model;  // TrainConfig::model where none is named
  int64_t default_batch_size;
  int64_t default_classes;  // those of the published weights
  // Throws Error where fields are set that the kind has no use for.
  void (*check)(const TrainConfig& config);
  // Opens the splits that state.config names, resolves the configuration and fills in the classes.
  std::unique_ptr<Task> (*make_task)(TrainingState& state, ProcessGroup& group);
  // The recipe of a training with this configuration, of so many classes: a network with fresh weights on
  // config.device.
  Recipe (*make_recipe)(const TrainConfig& config, int64_t classes, bool regularized);
  TrainedModel (*load)(const ModelFile& file, Device device);
};

// Throws Error naming the known ones.
const TaskKind& task_kind(const std::string& name);

// What the kind decides of what a configuration leaves open: the batch size.
TrainConfig with_kind_defaults(TrainConfig config);

// check_config() and what the kind asks for beyond it.
void check_task_config(const TrainConfig& config);

// The recipe of a training with this configuration. Where it is not `regularized` the network has neither
// dropout nor stochastic depth.
Recipe make_recipe(const TrainConfig& config, int64_t classes, bool regularized = true);

// The network in a file, in evaluation mode. Throws as ModelFile does.
TrainedModel load_model(const ModelFile& file, Device device = Device::cpu);

}  // namespace fovea
