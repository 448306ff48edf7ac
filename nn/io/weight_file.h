#pragma once
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/file.h"
#include "core/tensor.h"

namespace fovea {

// A file of named tensors, in any format. It is mapped into memory, not read: a tensor's numbers come from
// the disk when they are used.
class WeightFile {
 public:
  // One tensor of the file.
  struct Entry {
    // The dtype is safetensors' word for it, "F32": a file may hold dtypes that Fovea does not have.
    std::string name, dtype;
    Shape shape;
    std::string_view content;      // of the file, from the tensor's first number on
    std::vector<int64_t> strides;  // in numbers, as PyTorch's; none: row-major
  };

  WeightFile(const WeightFile&) = delete;
  WeightFile& operator=(const WeightFile&) = delete;
  virtual ~WeightFile() = default;

  const std::string& path() const { return path_; }
  // This file, and those it refers to: none of them may be overwritten.
  virtual std::vector<std::string> files() const { return {path_}; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::vector<Entry>& entries() const { return entries_; }  // in the order of the file
  const Entry* find(const std::string& name) const;               // null where there is none

  // Returns a copy of one tensor. Throws unless Fovea has its dtype: F32, F64, BF16, I32, I64 or U8.
  Tensor read(const Entry& entry) const;
  // The same as float32, from any floating dtype of 16 bits and more. Throws on others.
  Tensor read_float32(const Entry& entry) const;

 protected:
  // Throws as MappedFile does.
  explicit WeightFile(const std::string& path) : path_(path), file_(path) {}
  std::string_view content() const { return file_.content(); }
  // Throws if the name was added before.
  void add(Entry entry);

  std::string path_;
  std::map<std::string, std::string> metadata_;

 private:
  MappedFile file_;
  std::vector<Entry> entries_;
  std::map<std::string, size_t> index_;
};

// Opens a file of weights by its content, as SafetensorsFile, SafetensorsIndex or PyTorchFile.
std::unique_ptr<WeightFile> open_weight_file(const std::string& path);

// The bytes of one number of the dtype with this word; 0 if safetensors has no such word.
size_t bytes_of_dtype(std::string_view word);
// The word for one of Fovea's dtypes.
const char* dtype_word(DType dtype);

}  // namespace fovea
