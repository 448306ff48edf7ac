#pragma once
#include <memory>
#include <string>

#include "models/quantization/quantized_network.h"
#include "nn/module.h"
#include "train/loop/checkpoint.h"

namespace fovea {

// The task (TrainConfig::task) that a model of this name is for.
std::string task_of_model(const std::string& model);

// A file with the weights of a trained network: a checkpoint of `fovea train`, what `fovea quantize` made of
// one, or a safetensors file of timm's or effdet's weights, which says neither which model it is of nor what
// its classes are called.
class ModelFile {
 public:
  // What published weights do not say of themselves.
  struct Options {
    std::string model;  // of published weights; "": the model whose name is in the file's name
    std::string
        class_names_file;  // of published weights; "": COCO's 90 or ImageNet's 1000 (published_classes.h)
  };

  // Throws Error naming the file where it cannot be read, is of neither kind, or is of published weights
  // without a model's name; and where options are given that a checkpoint answers itself.
  explicit ModelFile(const std::string& path, const Options& options = {});

  // What is known of the network and its training; of published weights, the model's own settings.
  const TrainingState& state() const { return state_; }
  bool is_checkpoint() const { return checkpoint_ != nullptr; }

  // Whether save_quantized() wrote it: it has no float weights.
  bool is_quantized() const;

  // Gives the network its weights: the averaged ones of a checkpoint. Throws as Checkpoint::restore() and
  // load_weights() do, and where the file is quantised.
  void restore(const Module& model) const;
  // The same for a quantised file; the network was made from the same spec and image size, or it throws.
  void restore(QuantizedNetwork& network) const;

 private:
  std::string path_;
  std::shared_ptr<const Checkpoint> checkpoint_;
  TrainingState state_;
};

// Writes a quantised network with what `state` knows of it, as a safetensors file that ModelFile reads;
// atomic.
void save_quantized(const std::string& path, const TrainingState& state, const QuantizedNetwork& network);

}  // namespace fovea
