#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace fovea::cuda {

struct DeviceFloats {  // count numbers in device memory
  float* values = nullptr;
  int64_t count = 0;
};

// The devices of the processes that train one network together (core/processes.h), and what they exchange, on
// the current stream, in order with its work. A call is one of all processes together, with as many bytes in
// each.
class Peers {
 public:
  virtual ~Peers() = default;
  virtual int rank() const = 0;
  virtual int count() const = 0;
  // `all` holds count() parts of `bytes` bytes. This process has written its own, that of its rank: now it
  // has those of the others too.
  virtual void gather(void* all, size_t bytes) = 0;
  // Each number becomes the sum of that of all processes, with the same bits in all of them.
  virtual void sum(const std::vector<DeviceFloats>& tensors) = 0;
  // False where the host has a part in it, so that no graph can hold it.
  virtual bool can_be_captured() const = 0;
};

// Those of this program; null where it is alone.
Peers* peers();
void set_peers(std::unique_ptr<Peers> peers);

}  // namespace fovea::cuda
