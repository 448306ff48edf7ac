#include "train/run/task_kind.h"

#include <algorithm>
#include <array>

#include "core/error.h"
#include "train/classification/classification_recipe.h"
#include "train/classification/classification_task.h"
#include "train/detection/detection_recipe.h"
#include "train/detection/detection_task.h"

namespace fovea {
namespace {

void check_classification(const TrainConfig& config) {
  require(config.crop == 0 && config.mosaic == 0,
          "`crop` and `mosaic` are for detection: a classifier's images are cropped anyway, leave them out");
  require(config.box_loss == "huber", "`box_loss` is '{}': a classifier has no boxes, leave it out",
          config.box_loss);
  require(
      config.multi_scale == 0,
      "`multi_scale` is {}, and is for detection: a classifier's crops vary the size already, leave it out",
      config.multi_scale);
}

constexpr std::array kinds = {
    TaskKind{
        .name = "detection",
        .default_model = "efficientdet_d-2",
        .default_batch_size = 4,
        .default_classes = 90,  // COCO's, with its gaps
        .check = [](const TrainConfig&) {},
        .make_task = make_detection_task,
        .make_recipe =
            [](const TrainConfig& config, int64_t classes, bool regularized) {
              const auto model = make_detection_network(config, classes, regularized);
              return detection_recipe(model, casts_of(*model, activation_dtype(config)), config);
            },
        .load = [](const ModelFile& file, Device device) -> TrainedModel { return Detector(file, device); }},
    TaskKind{.name = "classification",
             .default_model = "efficientnet_b-2",
             .default_batch_size = 16,
             .default_classes = 1000,  // ImageNet's
             .check = check_classification,
             .make_task = make_classification_task,
             .make_recipe =
                 [](const TrainConfig& config, int64_t classes, bool regularized) {
                   const auto model = make_classification_network(config, classes, regularized);
                   return classification_recipe(model, casts_of(*model, activation_dtype(config)), config);
                 },
             .load = [](const ModelFile& file, Device device) -> TrainedModel {
               return Classifier(file, device);
             }}};

}  // namespace

const TaskKind& task_kind(const std::string& name) {
  std::vector<std::string> known;
  for (const TaskKind& kind : kinds) {
    if (kind.name == name) return kind;
    known.push_back(kind.name);
  }
  fail("`task` is '{}': choose one of {}", name, fmt::join(known, ", "));
}

TrainConfig with_kind_defaults(TrainConfig config) {
  if (config.batch_size == 0) config.batch_size = task_kind(config.task).default_batch_size;
  return config;
}

void check_task_config(const TrainConfig& config) {
  const TaskKind& kind = task_kind(config.task);
  check_config(config);
  kind.check(config);
}

Recipe make_recipe(const TrainConfig& config, int64_t classes, bool regularized) {
  return task_kind(config.task).make_recipe(with_kind_defaults(config), classes, regularized);
}

TrainedModel load_model(const ModelFile& file, Device device) {
  return task_kind(file.state().config.task).load(file, device);
}

}  // namespace fovea
