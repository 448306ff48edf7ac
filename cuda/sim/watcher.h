#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "cuda/sim/simulator.h"

namespace fovea::sim {

// What a kernel's thread does with memory. Its own variables and the kernel's arguments do not count.
struct Access {
  uintptr_t address;
  size_t bytes;
  enum Kind : uint8_t { read, write, atomic } kind;
  bool is_shared;
  const void* from;  // the instruction after it
};

// Sees the launches of the device one after another, while it is in `watchers`. In a call, current_thread(),
// blockIdx and `epochs` say who acts and since which barrier.
class Watcher {
 public:
  virtual ~Watcher() = default;
  virtual void begin(const Kernel& kernel) = 0;
  virtual void access(
      const Access& access) = 0;  // precedes the checks: it may be the one that stops the launch
  virtual void barrier() = 0;     // all threads of a block have come to it
  virtual void end(
      const std::string& fault) = 0;  // why the simulator stopped the launch; "" where it did not
};
extern std::vector<Watcher*> watchers;

// Adds and removes a watcher between two launches. Work that a deferred device still has to do comes first.
void watch(Watcher& watcher);
void unwatch(Watcher& watcher);

}  // namespace fovea::sim
