#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "nn/io/safetensors.h"
#include "nn/module.h"

namespace fovea {

// The weights of any module in a safetensors file, under its own names and in the layouts of PyTorch
// (WeightLayout in nn/module.h): EfficientNet's and EfficientDet's are so timm's and effdet's files.

// A model's parameters and buffers as such a file holds them, float32 on the CPU.
std::vector<NamedTensor> published_weights(const Module& model);

// One weight, float32 on the CPU, in the layout that such a file gives it; off the tape.
Tensor to_published(const Tensor& ours, WeightLayout layout);

// Atomic. What PyTorch's load_state_dict(safetensors.torch.load_file(path)) then takes whole; the counters
// num_batches_tracked, which nothing computes with, are left out, and PyTorch does not ask for them.
// `metadata`: what else should travel with the weights, such as the names of classes; load_weights() returns
// it.
void save_weights(const std::string& path, const Module& model,
                  const std::map<std::string, std::string>& metadata = {});

// What wrappers of PyTorch put before every name in a file: "module." (DataParallel), "model.", "_orig_mod."
// (torch.compile), or several of them. Empty where not every tensor's name begins so, and where one of the
// model's own names does.
std::string wrapper_prefix(const WeightFile& file, const std::vector<NamedTensor>& model = {});

// How the tensors of a file and of a model find each other.
struct LoadOptions {
  // Only tensors whose names begin with this are looked at, and it is taken off; "": wrapper_prefix().
  std::string prefix;
  std::function<std::string(const std::string&)> rename;  // from the file's name to the model's
  // Whether a tensor, by the model's name for it, may be missing on either side or have another shape.
  std::function<bool(const std::string&)> optional;
  bool published_layouts = true;  // otherwise those of Module's parameters, as checkpoints have them
};

// What load_weights() found.
struct LoadedWeights {
  size_t tensors = 0;                           // taken from the file
  std::vector<std::string> fresh;               // of the model, which keep what they have
  std::vector<std::string> unused;              // of the file
  std::map<std::string, std::string> metadata;  // of the file: what save_weights() was given, and "format"
};

// Gives the model the numbers of a file, on whatever device it is. Throws Error that lists the tensors that
// are missing in the file, that are in it and the model has no place for, and those of another shape, except
// where they are optional; nothing is changed then.
LoadedWeights load_weights(const std::string& path, const Module& model, const LoadOptions& options = {});

}  // namespace fovea
