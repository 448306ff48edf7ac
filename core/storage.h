#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/device.h"

namespace fovea {

// A block of bytes, 64-byte aligned for vector loads. Its content is undefined at first. On Device::cuda it
// comes from the caching allocator of cuda/runtime/memory.h and the CPU must not touch it.
//
// Freed blocks are kept for reuse: a training step requests the same sizes again and again, and fresh pages
// from the system cost more than most kernels that fill them. In builds with FOVEA_POOL=0 every block goes
// straight back, so that the address sanitizer detects each use after free.
class Storage {
 public:
  Storage(int64_t bytes, Device device);  // throws Error with the sizes if memory runs out
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  std::byte* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  Device device() const { return device_; }

 private:
  std::byte* data_ = nullptr;
  int64_t bytes_ = 0, capacity_ = 0;
  Device device_;
};

// Memory of the CPU's tensors; cuda::device_memory_use() returns the device's.
struct MemoryUse {
  int64_t current = 0;   // bytes in live tensors
  int64_t peak = 0;      // the maximum since reset_peak_memory()
  int64_t reserved = 0;  // taken from the system: live and kept for reuse
};

MemoryUse memory_use();        // of the CPU, as of now
void reset_peak_memory();      // restarts the peak at the current use
void release_cached_memory();  // returns unused blocks to the system

}  // namespace fovea
