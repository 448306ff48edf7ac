#pragma once
#include <memory>
#include <string>
#include <vector>

#include "nn/io/safetensors.h"

namespace fovea {

// Weights that are split over several safetensors files, by the index that Hugging Face's libraries write
// beside these (model.safetensors.index.json): a JSON object whose weight_map names the file of each tensor,
// {"conv.weight": "model-00001-of-00002.safetensors"}. The entries are those of one file after the other, by
// the files' names, and metadata() is that of all files, of equal keys the first.
class SafetensorsIndex : public WeightFile {
 public:
  // By the content: JSON text with a weight_map.
  static bool is_one(const std::string& path);

  // Trusts nothing: the files must lie in the index's own folder and have plain names that end in
  // .safetensors, so that an index leads nowhere else. Throws Error naming file and tensor where the index is
  // not JSON of this form, names a tensor twice, names a file that is not there or lacks the tensor, or where
  // a file has a tensor that the index puts elsewhere or does not know; and as SafetensorsFile does.
  explicit SafetensorsIndex(const std::string& path);

  std::vector<std::string> files() const override;

 private:
  std::vector<std::unique_ptr<SafetensorsFile>> shards_;  // in which the entries' contents lie
};

}  // namespace fovea
