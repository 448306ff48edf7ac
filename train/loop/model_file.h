#pragma once
#include <memory>
#include <string>

#include "models/quantization/quantized_network.h"
#include "nn/module.h"
#include "train/loop/checkpoint.h"

namespace fovea {

// The task (TrainConfig::task) that a model of this name is for.
std::string task_of_model(const std::string& model);

// A file with the weights of a trained network: a checkpoint of `fovea train`, the output of `fovea
// quantize`, or a safetensors file of timm's or effdet's weights, which contains neither the name of its
// model nor those of its classes.
class ModelFile {
 public:
  // What files of published weights do not contain.
  struct Options {
    std::string model;  // of published weights; "": the model whose name is in the file's name
    std::string
        class_names_file;  // of published weights; "": COCO's 90 or ImageNet's 1000 (published_classes.h)
  };

  // Throws Error naming the file if it cannot be read, is of none of these kinds, or holds published weights
  // and no model is named; also if options are given that a checkpoint contains itself.
  explicit ModelFile(const std::string& path, const Options& options = {});

  // The state of the network and its training; for published weights, the model's own settings.
  const TrainingState& state() const { return state_; }
  bool is_checkpoint() const { return checkpoint_ != nullptr; }

  // Whether save_quantized() wrote it: it has no float weights.
  bool is_quantized() const;

  // Loads the weights into the network: of a checkpoint, the averaged ones. Throws as Checkpoint::restore()
  // and load_weights() do, and if the file is quantised.
  void restore(const Module& model) const;
  // The same for a quantised file. Throws Error if the network was made from another spec or image size.
  void restore(QuantizedNetwork& network) const;

 private:
  std::string path_;
  std::shared_ptr<const Checkpoint> checkpoint_;
  TrainingState state_;
};

// Writes a quantised network and its `state` as a safetensors file that ModelFile reads, atomically.
void save_quantized(const std::string& path, const TrainingState& state, const QuantizedNetwork& network);

}  // namespace fovea
