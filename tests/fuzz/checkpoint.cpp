// Checkpoints: the metadata of a safetensors file, including the settings.
#include "train/loop/checkpoint.h"

#include "tests/fuzz/harness.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fovea;
  static MemoryFile file;
  file.set(data, size);
  result_or_error([&] {
    const Checkpoint checkpoint(file.path());
    const TrainingState& state = checkpoint.state();
    expect(!state.class_names.empty() && state.class_names.size() == state.category_ids.size() &&
           state.step >= 0);
    result_or_error([&] { check_config(state.config); });
    result_or_error([&] { checkpoint.restore("model.", {{"weight", Tensor({2, 3})}}); });
  });
  return 0;
}
