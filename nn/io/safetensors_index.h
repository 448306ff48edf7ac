#pragma once
#include <memory>
#include <string>
#include <vector>

#include "nn/io/safetensors.h"

namespace fovea {

// Weights split over several safetensors files, with the index that Hugging Face's libraries write beside
// them (model.safetensors.index.json): a JSON object whose weight_map names the file of each tensor,
// {"conv.weight": "model-00001-of-00002.safetensors"}. The entries are those of one file after another, in
// the order of the files' names. metadata() has that of all files; of equal keys it has the first.
class SafetensorsIndex : public WeightFile {
 public:
  // Detected by the content: JSON text with a weight_map.
  static bool is_one(const std::string& path);

  // Trusts nothing: the files must lie in the index's own folder and have plain names that end in
  // .safetensors, so that an index leads nowhere else. Throws Error naming file and tensor if the index is
  // not JSON of this form, names a tensor twice, names a file that does not exist or lacks the tensor, or if
  // a file has a tensor that the index puts elsewhere or does not name; and as SafetensorsFile does.
  explicit SafetensorsIndex(const std::string& path);

  std::vector<std::string> files() const override;

 private:
  std::vector<std::unique_ptr<SafetensorsFile>> shards_;  // which hold the entries' contents
};

}  // namespace fovea
