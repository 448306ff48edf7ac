#pragma once
#include <map>
#include <string>
#include <vector>

#include "nn/io/weight_file.h"
#include "nn/module.h"

namespace fovea {

// The file format of Hugging Face's safetensors library: eight bytes with the header's length, a JSON header
// with the dtype, shape and place of each tensor, then the numbers. Anything in Python that reads safetensors
// reads these. The entries are in the order of their places.
class SafetensorsFile : public WeightFile {
 public:
  // Trusts nothing: throws Error naming the file and what is wrong if it is cut short or too long, its header
  // is not JSON of this form, a dtype is unknown, or a tensor's place is outside the file, overlaps
  // another's, leaves a gap or does not fit its shape.
  explicit SafetensorsFile(const std::string& path);
};

// All tensors of a file, read at once.
struct TensorFile {
  std::map<std::string, std::string> metadata;
  std::vector<NamedTensor> tensors;  // in the order of their places in the file
};
TensorFile read_safetensors(const std::string& path);  // throws as SafetensorsFile and its read() do

// Atomic: afterwards the file is complete, or as it was before.
void write_safetensors(const std::string& path, const std::map<std::string, std::string>& metadata,
                       const std::vector<NamedTensor>& tensors);

}  // namespace fovea
