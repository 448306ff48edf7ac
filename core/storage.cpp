#include "core/storage.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>

#include "core/error.h"
#include "cuda/runtime/memory.h"

#ifndef FOVEA_POOL
#define FOVEA_POOL 1
#endif

namespace fovea {
namespace {

constexpr int64_t alignment = 64;

// Free blocks by capacity. The smallest that fits is taken if it wastes at most an eighth (small blocks:
// half); otherwise a new one is made. On exhaustion the kept blocks are given back and the request tried once
// more.
class Pool {
 public:
  std::byte* take(int64_t bytes, int64_t& capacity) {
    std::lock_guard lock(mutex_);
    std::byte* block = nullptr;
    capacity = std::max<int64_t>((bytes + alignment - 1) / alignment * alignment, alignment);
    const auto found = free_.lower_bound(capacity);
    const int64_t slack = capacity < (1 << 16) ? capacity : capacity / 8;
    if (found != free_.end() && found->first <= capacity + slack) {
      capacity = found->first;
      block = found->second;
      free_.erase(found);
    } else {
      block = allocate(capacity);
      if (!block) {
        release_locked();
        block = allocate(capacity);
      }
      require(block != nullptr, "out of memory: asked for {} bytes with {} in use by tensors", bytes,
              use_.current);
      use_.reserved += capacity;
    }
    use_.current += capacity;
    use_.peak = std::max(use_.peak, use_.current);
    return block;
  }

  void give(std::byte* block, int64_t capacity) {
    std::lock_guard lock(mutex_);
    use_.current -= capacity;
    if (FOVEA_POOL) {
      free_.emplace(capacity, block);
    } else {
      use_.reserved -= capacity;
      std::free(block);
    }
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
  static std::byte* allocate(int64_t bytes) {
    return static_cast<std::byte*>(std::aligned_alloc(size_t(alignment), size_t(bytes)));
  }

  void release_locked() {
    for (auto& [capacity, block] : free_) {
      use_.reserved -= capacity;
      std::free(block);
    }
    free_.clear();
  }

  std::mutex mutex_;
  std::multimap<int64_t, std::byte*> free_;
  MemoryUse use_;
};

// Never destroyed: tensors in static storage may outlive any static destructor of ours.
Pool& pool() {
  static Pool* instance = new Pool;
  return *instance;
}

}  // namespace

Storage::Storage(int64_t bytes, Device device) : bytes_(bytes), device_(device) {
  require(bytes >= 0 && bytes < (int64_t(1) << 46), "cannot allocate {} bytes", bytes);
  if (device == Device::cuda)
    data_ = static_cast<std::byte*>(cuda::allocate(size_t(bytes)));
  else
    data_ = pool().take(bytes, capacity_);
}

Storage::~Storage() {
  if (device_ == Device::cuda)
    cuda::release(data_);
  else
    pool().give(data_, capacity_);
}

MemoryUse memory_use() { return pool().use(); }
void reset_peak_memory() { pool().reset_peak(); }
void release_cached_memory() { pool().release(); }

}  // namespace fovea
