#pragma once
#include <map>
#include <string>
#include <vector>

#include "models/published_names.h"
#include "nn/io/safetensors.h"
#include "nn/io/weights.h"
#include "nn/module.h"

namespace fovea {

// load_weights() of an EfficientNet or EfficientDet from a file of published weights, by whichever
// PublishedNames its tensors have: safetensors or PyTorch's own format. All must fit.
LoadedWeights load_published(const std::string& path, const Module& model);

// The other way round, to safetensors; `metadata` as for save_weights(). Throws where the other networks have
// no place for a tensor.
void save_published(const std::string& path, const Module& model, PublishedNames names,
                    std::map<std::string, std::string> metadata = {});

// load_published(), more tolerant, for a training to start from: a detector takes the backbone from a
// classifier's file, and the other way round; the class head (class_net.predict.*, classifier.*) stays as it
// is where the file's has other classes. A file may also be a checkpoint of Fovea's, whose averaged weights
// are taken. Everything else must fit. Where the file has the names of its classes and `class_names` are
// given, they are compared: the same ones in another order bring the head's columns into the model's order,
// others leave the head as it is, even where they are as many. metadata["names"] says whose names the file
// has, where not timm's.
LoadedWeights load_pretrained(const std::string& path, const Module& model,
                              const std::vector<std::string>& class_names = {});

// The names of the classes in a file's metadata, as checkpoints and `fovea export` write them; none where it
// has none.
std::vector<std::string> class_names_in(const WeightFile& file);

// Whether the module or tensor of this name belongs to an EfficientNet's stem or blocks, in a detector
// ("backbone.blocks.1.0") or by itself ("blocks.1.0"): neither a classifier's head nor a detector's neck and
// heads.
bool is_backbone(const std::string& name);

// The classes that a file of published weights tells apart: rows of its classifier, or those of its class
// net's last convolution over anchors_per_cell. 0 where it has neither.
int64_t classes_in_weights(const WeightFile& file, int anchors_per_cell);

}  // namespace fovea
