#pragma once
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "cuda/sim/watcher.h"

namespace fovea::sim {

// One load or store instruction of a warp, as a GPU would do it for all lanes at once. Threads run one after
// another here, so requests are put together afterwards: between two synchronisations of a warp, the n-th
// time that each lane comes to an instruction is one request. Atomics are joined in the same way.
struct Request {
  const void* from = nullptr;
  Access::Kind kind = Access::read;
  bool is_shared = false;
  unsigned block = 0, warp = 0;  // in the grid, in the block
  bool whole = false;            // all lanes that the warp has take part
  uint32_t lanes = 0;            // a bit for each that takes part
  uintptr_t address[32] = {};
  uint8_t bytes[32] = {};  // at most 16: a larger access is several
};

// Receives requests instead of accesses: block by block and barrier by barrier, those of a warp in the order
// in which its lanes come to them.
class RequestWatcher : public Watcher {
 public:
  void begin(const Kernel& kernel) override;
  void access(const Access& access) override;
  void barrier() override { finish(); }
  void end(const std::string&) override { finish(); }

 protected:
  virtual void request(const Request& request) = 0;
  // Hands over what has been put together so far.
  void finish();

 private:
  struct Warp {
    uint32_t barrier = 0, synchronisations = 0;  // since which the rest counts
    std::vector<Request> requests;
    std::vector<int>
        next;  // in their order: the place of the one that follows, from `first` on; -1 at the end
    int first = -1;
    int latest[32];  // request of each lane; -1: none yet
    // Of each instruction: its requests, and how many of them each lane has made.
    struct Site {
      std::vector<int> requests;
      uint32_t made[32] = {};
    };
    std::unordered_map<const void*, Site> sites;
  };
  void finish(unsigned warp);
  int insert(Warp& warp, int after, const Access& access);

  std::vector<Warp> warps_;
  uint32_t block_ = 0;  // Epochs::block of the latest access
  int64_t threads_ = 0;
};

}  // namespace fovea::sim
