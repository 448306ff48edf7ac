#pragma once
#include <memory>
#include <string>
#include <variant>

#include "train/classification/classifier.h"
#include "train/detection/detector.h"
#include "train/loop/task.h"

namespace fovea {

// The network in a file: a detector, or a classifier of whole images. Use std::visit to tell them apart, so
// that no kind can be forgotten.
using TrainedModel = std::variant<Detector, Classifier>;

// What differs between the kinds of task that a configuration can name. Code that depends on
// TrainConfig::task belongs here.
struct TaskKind {
  const char* name;           // TrainConfig::task
  const char* default_model;  // TrainConfig::model if none is given
  int64_t default_batch_size;
  int64_t default_classes;  // those of the published weights
  // Throws Error if fields are set that this kind does not use.
  void (*check)(const TrainConfig& config);
  // Opens the splits that state.config names, resolves the configuration and fills in the classes.
  std::unique_ptr<Task> (*make_task)(TrainingState& state, ProcessGroup& group);
  // The recipe of a training with this configuration and number of classes: a network with new weights on
  // config.device.
  Recipe (*make_recipe)(const TrainConfig& config, int64_t classes, bool regularized);
  TrainedModel (*load)(const ModelFile& file, Device device);
};

// Throws Error naming the valid kinds if it is none of them.
const TaskKind& task_kind(const std::string& name);

// Fills in the setting whose default depends on the kind: the batch size.
TrainConfig with_kind_defaults(TrainConfig config);

// check_config() and the further checks of the kind.
void check_task_config(const TrainConfig& config);

// The recipe of a training with this configuration. If it is not `regularized`, the network has neither
// dropout nor stochastic depth.
Recipe make_recipe(const TrainConfig& config, int64_t classes, bool regularized = true);

// The network in a file, in evaluation mode. Throws as ModelFile does.
TrainedModel load_model(const ModelFile& file, Device device = Device::cpu);

}  // namespace fovea
