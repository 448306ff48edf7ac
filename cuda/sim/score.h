#pragma once
#include <optional>
#include <unordered_map>
#include <vector>

#include "cuda/runtime/kernel_score.h"
#include "cuda/sim/buffers.h"
#include "cuda/sim/queue.h"
#include "cuda/sim/watcher.h"

namespace fovea::sim {

// Counts what cuda::KernelScore holds.
class Scorer : public Watcher {
 public:
  void begin(const Kernel& kernel) override;
  void access(const Access& access) override;
  void barrier() override { ++score_.barriers; }
  void end(const std::string& fault) override;
  const std::vector<cuda::KernelScore>& scores() const { return scores_; }

 private:
  // The accesses of a warp's lanes to which one instruction comes the same number of times.
  struct Request {
    uint32_t lanes = 0;  // a bit for each that takes part
    uintptr_t address[32] = {};
    uint8_t bytes[32] = {};
  };
  struct Site {
    bool write = false, is_shared = false;
    uint32_t times[32] = {};  // that a lane has come here since the warp's last synchronisation
    std::vector<Request> requests;
  };
  struct Warp {
    uint32_t barrier = 0, synchronisations = 0;  // since which `sites` count
    uint32_t lanes = 0;                          // that it has
    std::unordered_map<const void*, Site> sites;
  };
  void finish(Warp& warp);
  void score_global(const Request& request, bool write, bool partial);
  void score_shared(const Request& request, bool write, bool partial);
  cuda::BufferScore& buffer(uintptr_t address);

  std::vector<cuda::KernelScore> scores_;
  cuda::KernelScore score_;  // of the launch that runs
  std::optional<Buffers> buffers_;
  std::vector<std::vector<uint8_t>> touched_;  // for each byte of each buffer: 1 read, 2 written
  std::vector<Warp> warps_;
  std::unordered_map<const void*, std::string> names_;  // of kernels
};

}  // namespace fovea::sim
