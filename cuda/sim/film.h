#pragma once
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "cuda/sim/buffers.h"
#include "cuda/sim/requests.h"

namespace fovea::sim {

// Writes down small launches step by step, as `fovea show kernel` draws them: one line of JSON for each
// launch,
//   {"kernel": "axpy", "launched": "main.cu:59", "grid": [2, 1, 1], "block": [32, 1, 1],
//    "fault": "",                     why the simulator stopped the launch
//    "failed": [step, thread, region, cell]  the access that it stopped at; missing where it was none
//    "regions": [{"name": "x", "shared": false, "cell": 4, "first": 0, "count": 256}, ...]
//    "sites": ["main.cu:18", ...]     lines of source
//    "steps": [[block, warp, site, kind, region, thread, cell, cells, thread, cell, cells, ...], ...]}
// A region is a buffer, or a piece of shared memory; its cells have `cell` bytes, and `count` of them from
// `first` on are drawn. A step is one request of a warp: kind 0 reads, 1 writes, 2 is an atomic operation. A
// step [block] is a barrier. Of a launch with more than `most_steps` or `most_cells` the line has
// "too_large", a sentence, in place of regions, sites and steps.
class Film : public RequestWatcher {
 public:
  static constexpr size_t most_steps = 4096, most_cells = 8192;

  explicit Film(const std::string& path);  // throws CudaError where it cannot be written
  ~Film() override;
  void begin(const Kernel& kernel) override;
  void access(const Access& access) override;
  void barrier() override;
  void end(const std::string& fault) override;

 private:
  void request(const Request& request) override;

  struct Step {
    unsigned block = 0;
    bool is_barrier = false;
    Request request;
  };
  struct Last {
    unsigned thread;
    Access access;
  };
  std::FILE* file_;
  const Kernel* kernel_ = nullptr;
  std::optional<Buffers> buffers_;
  std::vector<Step> steps_;
  std::optional<Last> last_;  // access in the launch, where no barrier follows it
};

// Films all launches of the program where the environment's FOVEA_SIM_FILM names a file to write.
void film_if_asked();

}  // namespace fovea::sim
