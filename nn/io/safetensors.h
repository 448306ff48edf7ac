#pragma once
#include <map>
#include <string>
#include <vector>

#include "core/file.h"
#include "nn/module.h"

namespace fovea {

// The file format of Hugging Face's safetensors library: eight bytes with the header's length, a JSON header
// that says dtype, shape and place of each tensor, then the numbers. Anything in Python that reads
// safetensors reads these.
//
// The file is mapped into memory, not read: a tensor's numbers come from the disk when it is asked for.
class SafetensorsFile {
 public:
  // One tensor of the file. The dtype is the format's own word: a file may hold what Fovea has no tensors of.
  struct Entry {
    std::string name, dtype;  // "F32"
    Shape shape;
    size_t begin = 0, end = 0;  // bytes of the data after the header
  };

  // Trusts nothing: throws Error naming the file and what is wrong when it is cut short or has bytes too
  // many, its header is no JSON of this form, a dtype is unknown, or a tensor's place is outside the file,
  // overlaps another's, leaves a gap or does not fit its shape.
  explicit SafetensorsFile(const std::string& path);

  const std::string& path() const { return path_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::vector<Entry>& entries() const { return entries_; }  // in the order of their places
  const Entry* find(const std::string& name) const;               // null where there is none

  // A copy of one tensor. Throws where Fovea has no such dtype (F32, F64, BF16, I32 and U8 it has).
  Tensor read(const Entry& entry) const;
  // The same as float32, from any floating dtype of 16 bits and more. Throws on others.
  Tensor read_float32(const Entry& entry) const;

 private:
  void parse_header();

  std::string path_;
  MappedFile file_;
  std::string_view data_;
  std::map<std::string, std::string> metadata_;
  std::vector<Entry> entries_;
  std::map<std::string, size_t> index_;
};

// All tensors of a file at once.
struct TensorFile {
  std::map<std::string, std::string> metadata;
  std::vector<NamedTensor> tensors;  // in the order of their places in the file
};
TensorFile read_safetensors(const std::string& path);  // throws as SafetensorsFile and its read() do

// Atomic: the file is complete or as it was before.
void write_safetensors(const std::string& path, const std::map<std::string, std::string>& metadata,
                       const std::vector<NamedTensor>& tensors);

}  // namespace fovea
