#pragma once
#include "nn/io/pickle.h"
#include "nn/io/weight_file.h"

namespace fovea {

// A file that torch.save() wrote (.pt, .pth): a state_dict, or a checkpoint with one in it. It reads both
// layouts: the zip archive of PyTorch 1.6 and later, and the older one, which is a magic number, pickles and
// then the numbers. Nothing in the file is executed: PickleReader has no instruction that could.
//
// From a checkpoint it takes averaged weights if there are any, otherwise the others: the first of
// "state_dict_ema", "ema_state_dict", "model_ema", "ema", "state_dict", "model_state_dict", "model", "net",
// "weights", "module" that holds tensors. metadata()["part"] says which.
class PyTorchFile : public WeightFile {
 public:
  // Detected by the first bytes.
  static bool is_one(const std::string& path);

  // Trusts nothing: throws Error naming the file and what is wrong if it is cut short or compressed, names a
  // class beyond those of a state_dict (a whole pickled module, say), holds no named tensors, or has a tensor
  // outside of its storage.
  explicit PyTorchFile(const std::string& path);

 private:
  // A run of numbers of one dtype, as a tensor refers to it.
  struct Storage {
    std::string_view dtype, key;
    uint64_t numbers;
  };

  const PickleValue& read_zip();
  const PickleValue& read_old();
  // The dictionary that holds the tensors, in root or deeper.
  const PickleValue::Dict& find_state_dict(const PickleValue& root);
  Entry tensor_entry(const std::string& name, const PickleValue& value) const;
  Storage storage_of(const PickleValue::PersistentId& id) const;

  std::unique_ptr<PickleReader> reader_;
  std::map<std::string_view, std::string_view> storages_;  // what the file has under each key
};

}  // namespace fovea
