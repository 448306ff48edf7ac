#pragma once
#include "nn/io/pickle.h"
#include "nn/io/weight_file.h"

namespace fovea {

// A file that torch.save() wrote (.pt, .pth): a state_dict, or a checkpoint with one in it. Both layouts: the
// zip archive of PyTorch 1.6 and later, and the older one, a magic number, pickles and the numbers after
// them. Nothing in the file is executed: PickleReader has no instruction that could.
//
// Of a checkpoint the averaged weights are taken where it has some: the first of "state_dict_ema",
// "ema_state_dict", "model_ema", "ema", "state_dict", "model_state_dict", "model", "net", "weights", "module"
// that holds tensors. metadata()["part"] says which.
class PyTorchFile : public WeightFile {
 public:
  // By the first bytes.
  static bool is_one(const std::string& path);

  // Trusts nothing: throws Error naming the file and what is wrong when it is cut short, is compressed, names
  // a class beyond those of a state_dict (a whole pickled module, say), holds no tensors under names, or has
  // a tensor outside of its storage.
  explicit PyTorchFile(const std::string& path);

 private:
  // A run of numbers of one dtype, as a tensor names it.
  struct Storage {
    std::string_view dtype, key;
    uint64_t numbers;
  };

  const PickleValue& read_zip();
  const PickleValue& read_old();
  // The value that has the tensors, in root or deeper.
  const PickleValue::Dict& find_state_dict(const PickleValue& root);
  Entry tensor_entry(const std::string& name, const PickleValue& value) const;
  Storage storage_of(const PickleValue::PersistentId& id) const;

  std::unique_ptr<PickleReader> reader_;
  std::map<std::string_view, std::string_view> storages_;  // what the file has under each key
};

}  // namespace fovea
