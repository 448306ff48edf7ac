#pragma once
#include <map>
#include <string>
#include <vector>

#include "models/published_names.h"
#include "nn/io/safetensors.h"
#include "nn/io/weights.h"
#include "nn/module.h"

namespace fovea {

// load_weights() for an EfficientNet or EfficientDet from a file of published weights, with any of the
// PublishedNames, in safetensors or PyTorch's own format. All tensors must fit.
LoadedWeights load_published(const std::string& path, const Module& model);

// Saves published weights as safetensors, with `metadata` as for save_weights(). Throws Error if the other
// networks have no place for a tensor.
void save_published(const std::string& path, const Module& model, PublishedNames names,
                    std::map<std::string, std::string> metadata = {});

// A more tolerant load_published(), for the start of a training: a detector can take the backbone from a
// classifier's file, and vice versa; the class head (class_net.predict.*, classifier.*) stays as it is if the
// file's has other classes. A file may also be a checkpoint of Fovea, of which it loads the averaged weights.
// Everything else must fit. If the file has the names of its classes and `class_names` are given, they are
// compared: if only the order differs, the head's columns are brought into the model's order; other classes
// leave the head as it is, even if their number is the same. metadata["names"] names the file's naming
// scheme, unless it is timm's.
LoadedWeights load_pretrained(const std::string& path, const Module& model,
                              const std::vector<std::string>& class_names = {});

// The names of the classes in a file's metadata, as checkpoints and `fovea export` write them; empty if it
// has none.
std::vector<std::string> class_names_in(const WeightFile& file);

// Whether the module or tensor of this name belongs to an EfficientNet's stem or blocks, in a detector
// ("backbone.blocks.1.0") or in a classifier ("blocks.1.0"): neither a classifier's head nor a detector's
// neck and heads.
bool is_backbone(const std::string& name);

// The number of classes in a file of published weights: the rows of its classifier, or those of its class
// net's last convolution over anchors_per_cell. 0 if it has neither.
int64_t classes_in_weights(const WeightFile& file, int anchors_per_cell);

}  // namespace fovea
