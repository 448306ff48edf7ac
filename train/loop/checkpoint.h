#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "nn/module.h"
#include "train/loop/config.h"

namespace fovea {

// Everything a training needs to continue as if it had never stopped. Random numbers are computed from
// counters, not from a state (core/random.h): the seed and the step are the random state and, with the batch
// size, also the position in the data.
struct TrainingState {
  TrainConfig config;  // as resolved
  std::vector<std::string> class_names;
  std::vector<int> category_ids;
  // Checksums of the training and validation splits: of the boxes and classes of all images in order, and of
  // the image files. Empty in checkpoints written before these existed.
  std::string labels_checksum, files_checksum;
  int64_t step = 0;                 // steps done
  std::optional<double> best;       // the best validation figure so far, a finite number
  int64_t measured_since_best = 0;  // validations since `best` last improved
};

// Writes a safetensors file with the state as its metadata and the tensors "model.*", "ema.*", "optimizer.*",
// atomically.
void save_checkpoint(const std::string& path, const TrainingState& state,
                     const std::vector<NamedTensor>& model, const std::vector<NamedTensor>& ema,
                     const std::vector<NamedTensor>& optimizer);

// A checkpoint that has been read and checked completely.
class Checkpoint {
 public:
  // Throws Error naming the file if it is missing, cut short, altered (it contains a checksum), or not a
  // Fovea checkpoint.
  explicit Checkpoint(const std::string& path);

  const TrainingState& state() const { return state_; }

  bool holds(const std::string& name) const { return tensors_.contains(name); }  // a tensor, with its prefix

  // Copies the tensors "<prefix><name>" into `into`. Throws Error naming the tensor and both shapes if one is
  // missing or has another size: the file is of another model.
  void restore(const std::string& prefix, const std::vector<NamedTensor>& into) const;

 private:
  std::string path_;
  TrainingState state_;
  std::map<std::string, Tensor> tensors_;
};

}  // namespace fovea
