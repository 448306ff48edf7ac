#include "cuda/runtime/process_group.h"

namespace fovea {
namespace {

class SingleProcess : public ProcessGroup {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  std::vector<double> all_gather(std::span<const double> values) override {
    return {values.begin(), values.end()};
  }
  void all_reduce(std::span<float>) override {}
  void select_device() override {}
  void all_gather_on_device(void*, size_t) override {}
  void all_reduce_on_device(const std::vector<DeviceFloats>&) override {}
  bool can_be_captured() const override { return true; }
};

}  // namespace

void ProcessGroup::all_reduce(std::span<double> values) {
  if (size() == 1) return;
  const std::vector<double> all = all_gather(values);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = 0;
    for (size_t at = i; at < all.size(); at += values.size()) values[i] += all[at];
  }
}

ProcessGroup& single_process() {
  static SingleProcess group;
  return group;
}

}  // namespace fovea
