#pragma once
#include <map>
#include <string>
#include <vector>

#include "nn/io/safetensors.h"
#include "nn/module.h"

namespace fovea {

// Weights in and out under the names and in the layouts of timm's EfficientNet and effdet's EfficientDet
// (WeightLayout in nn/module.h), as safetensors files. Fovea's own parameters have these names, too.

// A model's parameters and buffers as such a file holds them.
std::vector<NamedTensor> published_weights(const Module& model);

// One weight, float32 on the CPU, in the layout that such a file gives it; off the tape.
Tensor to_published(const Tensor& ours, WeightLayout layout);

// Atomic. What PyTorch's load_state_dict(safetensors.torch.load_file(path)) then takes whole; the counters
// num_batches_tracked, which nothing computes with, are left out, and PyTorch does not ask for them.
void save_weights(const std::string& path, const Module& model,
                  const std::map<std::string, std::string>& metadata = {});

// Gives the model the numbers of a file, on whatever device it is. Throws Error that lists the tensors that
// are missing in the file, that are in it and the model has no place for, and those of another shape; nothing
// is changed then.
void load_weights(const std::string& path, const Module& model);

// What a training starts from.
struct WeightsTaken {
  size_t tensors = 0;               // taken from the file
  std::vector<std::string> fresh;   // of the model, which keep what they have
  std::vector<std::string> unused;  // of the file
};

// The same, more tolerant: from a classifier's file a detector takes the backbone, and the other way round;
// the class head (class_net.predict.*, classifier.*) stays as it is where the file's has other classes. A
// file may also be a checkpoint of Fovea's, whose averaged weights are taken. Everything else must fit, as
// above.
WeightsTaken load_pretrained(const std::string& path, const Module& model);

// Whether the module or tensor of this name belongs to an EfficientNet's stem or blocks, in a detector
// ("backbone.blocks.1.0") or by itself ("blocks.1.0"): neither a classifier's head nor a detector's neck and
// heads.
bool is_backbone(const std::string& name);

// The classes that a file of published weights tells apart: rows of its classifier, or those of its class
// net's last convolution over anchors_per_cell. 0 where it has neither.
int64_t classes_in_weights(const SafetensorsFile& file, int anchors_per_cell);

}  // namespace fovea
