#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "nn/module.h"
#include "train/loop/config.h"

namespace fovea {

// All that a training needs to go on as if it had never stopped. Random numbers are counted, not drawn from a
// state (core/random.h): seed and step are the random state, and with the batch size also the position in the
// data.
struct TrainingState {
  TrainConfig config;  // as resolved: what was done
  std::vector<std::string> class_names;
  std::vector<int> category_ids;
  // Of the data set, both lists: boxes and classes of all images in their order, and the images' files. Empty
  // in checkpoints from before they were kept.
  std::string labels_checksum, files_checksum;
  int64_t step = 0;                 // steps done
  std::optional<double> best;       // the best validation figure so far, a finite number
  int64_t measured_since_best = 0;  // validations since the figure last grew
};

// A safetensors file with the state as its metadata and the tensors "model.*", "ema.*", "optimizer.*";
// atomic.
void save_checkpoint(const std::string& path, const TrainingState& state,
                     const std::vector<NamedTensor>& model, const std::vector<NamedTensor>& ema,
                     const std::vector<NamedTensor>& optimizer);

// A checkpoint, read and checked whole.
class Checkpoint {
 public:
  // Throws Error naming the file when it is not there, cut short, altered (a checksum is kept), or no
  // checkpoint of Fovea.
  explicit Checkpoint(const std::string& path);

  const TrainingState& state() const { return state_; }

  bool holds(const std::string& name) const { return tensors_.contains(name); }  // a tensor, with its prefix

  // Copies the tensors "<prefix><name>" into `into`. Throws Error naming the tensor and both shapes where one
  // is missing or another size: the file is of another model.
  void restore(const std::string& prefix, const std::vector<NamedTensor>& into) const;

 private:
  std::string path_;
  TrainingState state_;
  std::map<std::string, Tensor> tensors_;
};

}  // namespace fovea
