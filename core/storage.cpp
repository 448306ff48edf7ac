#include "core/storage.h"

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <new>
#include <utility>

#include "core/dry_run.h"
#include "core/error.h"
#include "cuda/runtime/block_pool.h"
#include "cuda/runtime/memory.h"

#ifndef FOVEA_POOL
#define FOVEA_POOL 1
#endif

namespace fovea {
namespace {

constexpr int64_t alignment = 64;

// Whether a pool hands out memory or only counts it. No machine has the addresses of dry runs.
enum class Memory { real, counted };
constexpr uintptr_t dry_addresses = uintptr_t(1) << 62;

// Takes blocks with cuda::BlockPool from segments of system memory. When memory runs out, it returns all free
// segments to the system and tries once more.
class Pool {
 public:
  Pool(int64_t granularity, Memory memory) : granularity_(granularity), real_(memory == Memory::real) {}

  std::byte* take(int64_t bytes, int64_t& capacity) {
    std::lock_guard lock(mutex_);
    capacity = std::max((bytes + granularity_ - 1) / granularity_ * granularity_, granularity_);
    uintptr_t block = keeps() ? blocks_.take(capacity) : 0;
    if (block == 0) {
      const int64_t size = keeps() ? cuda::BlockPool::segment_size(capacity) : capacity;
      uintptr_t segment = allocate(size);
      if (segment == 0) {
        release_locked();
        segment = allocate(size);
      }
      require(segment != 0, "out of memory: requested {} bytes with {} in use by tensors", bytes,
              use_.current);
      use_.reserved += size;
      block = segment;
      if (keeps()) {
        blocks_.add_segment({segment, size}, capacity);
        block = blocks_.take(capacity);
      }
    }
    use_.current += capacity;
    use_.peak = std::max(use_.peak, use_.current);
    return reinterpret_cast<std::byte*>(block);
  }

  void give(std::byte* block, int64_t capacity) {
    std::lock_guard lock(mutex_);
    use_.current -= capacity;
    if (keeps()) return blocks_.give(reinterpret_cast<uintptr_t>(block), capacity);
    use_.reserved -= capacity;
    std::free(block);
  }

  void release() {
    std::lock_guard lock(mutex_);
    release_locked();
  }

  MemoryUse use() {
    std::lock_guard lock(mutex_);
    return use_;
  }

  void reset_peak() {
    std::lock_guard lock(mutex_);
    use_.peak = use_.current;
  }

 private:
  bool keeps() const { return FOVEA_POOL || !real_; }

  uintptr_t allocate(int64_t bytes) {
    if (!real_) return std::exchange(next_, next_ + uintptr_t(bytes));
    return reinterpret_cast<uintptr_t>(std::aligned_alloc(size_t(alignment), size_t(bytes)));
  }

  void release_locked() {
    for (const auto& [address, size] : blocks_.take_free_segments()) {
      use_.reserved -= size;
      if (real_) std::free(reinterpret_cast<void*>(address));
    }
  }

  const int64_t granularity_;
  const bool real_;
  uintptr_t next_ = dry_addresses;
  std::mutex mutex_;
  cuda::BlockPool blocks_;
  MemoryUse use_;
};

// Never destroyed: tensors in static storage may outlive any of our static destructors.
Pool& pool() {
  static Pool* instance = new Pool(alignment, Memory::real);
  return *instance;
}

// The pools of dry runs, for CUDA with the granularity of cuda/runtime/memory.cpp. Each thread has its own
// pair, because the tensors of a dry run stay on their thread.
thread_local bool dry = false;
Pool& dry_pool(Device device) {
  thread_local Pool cpu(alignment, Memory::counted), cuda(512, Memory::counted);
  return device == Device::cpu ? cpu : cuda;
}

}  // namespace

DryRun::DryRun() : previous_(std::exchange(dry, true)) {
  for (const Device device : {Device::cpu, Device::cuda}) {
    dry_pool(device).release();
    dry_pool(device).reset_peak();
  }
}
DryRun::~DryRun() { dry = previous_; }
MemoryUse DryRun::memory(Device device) const { return dry_pool(device).use(); }
bool is_dry_run() { return dry; }
std::byte* dry_block() { return reinterpret_cast<std::byte*>(dry_addresses); }

Storage::Storage(int64_t bytes, Device device) : bytes_(bytes), device_(device) {
  require(bytes >= 0 && bytes < (int64_t(1) << 46), "cannot allocate {} bytes", bytes);
  if (is_dry_run())
    data_ = dry_pool(device).take(bytes, capacity_);
  else if (device == Device::cuda)
    data_ = static_cast<std::byte*>(cuda::allocate(size_t(bytes)));
  else
    data_ = pool().take(bytes, capacity_);
}

Storage::~Storage() {
  if (reinterpret_cast<uintptr_t>(data_) >= dry_addresses)
    dry_pool(device_).give(data_, capacity_);
  else if (device_ == Device::cuda)
    cuda::release(data_);
  else
    pool().give(data_, capacity_);
}

MemoryUse memory_use() { return pool().use(); }
void reset_peak_memory() { pool().reset_peak(); }
void release_cached_memory() { pool().release(); }

}  // namespace fovea
