#include "train/loop/model_file.h"

#include <algorithm>
#include <filesystem>

#include "core/error.h"
#include "models/efficientdet.h"
#include "models/weights.h"
#include "train/data/published_classes.h"

namespace fovea {
namespace {

constexpr const char* quantized = "int8.";  // prefix of the names of a quantised network's tensors

// The longest model name that the file's name contains: "tf_efficientdet_d0_34-f153e0cf.safetensors" is of
// tf_efficientdet_d0, although efficientdet_d0 is also in the name.
std::string model_in_name(const std::string& path) {
  const std::string file = std::filesystem::path(path).filename().string();
  std::string best;
  for (const auto& names : {efficientdet_names(), efficientnet_names()})
    for (const std::string& name : names)
      if (file.find(name) != std::string::npos && name.size() > best.size()) best = name;
  return best;
}

}  // namespace

std::string task_of_model(const std::string& model) {
  return model.find("efficientdet") != std::string::npos ? "detection" : "classification";
}

ModelFile::ModelFile(const std::string& path, const Options& options) : path_(path) {
  const std::unique_ptr<WeightFile> opened = open_weight_file(path);
  const WeightFile& file = *opened;
  if (file.metadata().contains("fovea_checkpoint")) {
    require(options.model.empty() && options.class_names_file.empty(),
            "{} is a checkpoint, which contains its model and its classes: leave out `model` and "
            "`class_names_file`",
            path);
    checkpoint_ = std::make_shared<Checkpoint>(path);
    state_ = checkpoint_->state();
    return;
  }
  const std::string model = options.model.empty() ? model_in_name(path) : options.model;
  require(!model.empty(),
          "{} does not name the model of its weights: give `model`, such as tf_efficientdet_d0 "
          "(`fovea info` lists them)",
          path);
  TrainConfig& config = state_.config;
  config.task = task_of_model(model);
  const bool detector = config.task == "detection";
  config.model = model;
  const int anchors = detector ? efficientdet_spec(model).anchors.per_cell() : 1;
  const int64_t classes = classes_in_weights(file, anchors);
  require(classes > 0, "{} has no {}: it does not hold the weights of a whole {}", path,
          detector ? "class_net.predict.conv_pw.bias" : "classifier.bias", model);
  state_.class_names = class_names_in(file);
  if (!options.class_names_file.empty())
    state_.class_names = read_class_names(options.class_names_file, size_t(classes));
  else if (state_.class_names.size() != size_t(classes))
    state_.class_names = published_class_names(detector, size_t(classes));
  // COCO's ids, like those of other detectors, begin at 1.
  for (int i = 0; i < int(classes); ++i) state_.category_ids.push_back(detector ? i + 1 : i);
}

bool ModelFile::is_quantized() const {
  return checkpoint_ && checkpoint_->holds(std::string("model.") + quantized + "ranges");
}

void ModelFile::restore(const Module& model) const {
  require(!is_quantized(),
          "{} is quantised: it holds bytes instead of the weights. Give the checkpoint that it was made from",
          path_);
  if (checkpoint_) return checkpoint_->restore("ema.", state_dict(model));
  load_published(path_, model);
}

void ModelFile::restore(QuantizedNetwork& network) const {
  require(is_quantized(), "{} is not quantised: `fovea quantize` writes quantised files", path_);
  network.expect_tensors();
  checkpoint_->restore(std::string("model.") + quantized, network.tensors());
  network.prepare();
}

void save_quantized(const std::string& path, const TrainingState& state, const QuantizedNetwork& network) {
  std::vector<NamedTensor> tensors = network.tensors();
  for (NamedTensor& tensor : tensors) tensor.name = quantized + tensor.name;
  save_checkpoint(path, state, tensors, {}, {});
}

}  // namespace fovea
