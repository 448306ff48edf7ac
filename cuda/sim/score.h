#pragma once
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "cuda/runtime/kernel_score.h"
#include "cuda/sim/buffers.h"
#include "cuda/sim/requests.h"

namespace fovea::sim {

// Counts what cuda::KernelScore holds.
class Scorer : public RequestWatcher {
 public:
  void begin(const Kernel& kernel) override;
  void barrier() override;
  void end(const std::string& fault) override;
  const std::vector<cuda::KernelScore>& scores() const { return scores_; }

 private:
  void request(const Request& request) override;
  void score_global(const Request& request);
  void score_shared(const Request& request);
  cuda::BufferScore& buffer(uintptr_t address);

  std::vector<cuda::KernelScore> scores_;
  cuda::KernelScore score_;  // of the launch that runs
  std::optional<Buffers> buffers_;
  std::vector<std::vector<uint8_t>> touched_;           // for each byte of each buffer: 1 read, 2 written
  std::unordered_map<const void*, std::string> names_;  // of kernels
};

}  // namespace fovea::sim
