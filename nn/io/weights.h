#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "nn/io/safetensors.h"
#include "nn/module.h"

namespace fovea {

// The weights of any module in a safetensors file, under the module's own names and in PyTorch's layouts
// (WeightLayout in nn/module.h): EfficientNet's and EfficientDet's files are those of timm and effdet.

// Returns a model's parameters and buffers as such a file holds them, float32 on the CPU.
std::vector<NamedTensor> published_weights(const Module& model);

// Returns one weight, float32 on the CPU, in the layout that such a file gives it; off the tape.
Tensor to_published(const Tensor& ours, WeightLayout layout);

// Atomic. PyTorch's load_state_dict(safetensors.torch.load_file(path)) accepts the whole file; the counters
// num_batches_tracked, which nothing computes with, are left out, and PyTorch does not require them.
// `metadata` travels with the weights, such as the names of classes; load_weights() returns it.
void save_weights(const std::string& path, const Module& model,
                  const std::map<std::string, std::string>& metadata = {});

// Returns what wrappers of PyTorch put before every name in a file: "module." (DataParallel), "model.",
// "_orig_mod." (torch.compile), or several of them. Empty unless every tensor's name begins with it, and if
// one of the model's own names does.
std::string wrapper_prefix(const WeightFile& file, const std::vector<NamedTensor>& model = {});

// How the tensors of a file are matched with those of a model.
struct LoadOptions {
  // Only tensors whose names begin with this prefix are used, without the prefix; "": wrapper_prefix().
  std::string prefix;
  std::function<std::string(const std::string&)> rename;  // from the file's name to the model's
  // Whether a tensor, by the model's name for it, may be missing on either side or have another shape.
  std::function<bool(const std::string&)> optional;
  bool published_layouts = true;  // otherwise those of Module's parameters, as checkpoints have them
};

// What load_weights() found.
struct LoadedWeights {
  size_t tensors = 0;                           // taken from the file
  std::vector<std::string> fresh;               // of the model, which keep their values
  std::vector<std::string> unused;              // of the file
  std::map<std::string, std::string> metadata;  // of the file: what save_weights() was given, and "format"
};

// Gives the model the numbers of a file, on whatever device the model is. Throws Error listing the tensors
// that are missing in the file, those for which the model has no place, and those of another shape, except
// optional ones; the model is then unchanged.
LoadedWeights load_weights(const std::string& path, const Module& model, const LoadOptions& options = {});

}  // namespace fovea
