#include "core/storage.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <utility>

#include "core/dry_run.h"
#include "core/error.h"
#include "cuda/runtime/memory.h"

#ifndef FOVEA_POOL
#define FOVEA_POOL 1
#endif

namespace fovea {
namespace {

constexpr int64_t alignment = 64;

struct PoolRules {
  int64_t granularity;  // sizes are rounded up to multiples of it
  int64_t small;        // below it a block of twice the size will do, from it on one that wastes an eighth
  bool real;            // false: blocks are counted, not made
};
constexpr PoolRules cpu_rules{alignment, 1 << 16, true};

// Free blocks by capacity. The smallest that fits is taken if it wastes at most an eighth (small blocks:
// half); otherwise a new one is made. On exhaustion the kept blocks are given back and the request tried once
// more.
class Pool {
 public:
  explicit Pool(PoolRules rules) : rules_(rules) {}

  std::byte* take(int64_t bytes, int64_t& capacity) {
    std::lock_guard lock(mutex_);
    std::byte* block = nullptr;
    const int64_t unit = rules_.granularity;
    capacity = std::max<int64_t>((bytes + unit - 1) / unit * unit, unit);
    const auto found = free_.lower_bound(capacity);
    const int64_t slack = capacity < rules_.small ? capacity : std::max(capacity / 8, unit);
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
      free_block(block);
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
  std::byte* allocate(int64_t bytes) const {
    if (!rules_.real) return dry_block();
    return static_cast<std::byte*>(std::aligned_alloc(size_t(alignment), size_t(bytes)));
  }

  void free_block(std::byte* block) const {
    if (rules_.real) std::free(block);
  }

  void release_locked() {
    for (auto& [capacity, block] : free_) {
      use_.reserved -= capacity;
      free_block(block);
    }
    free_.clear();
  }

  const PoolRules rules_;
  std::mutex mutex_;
  std::multimap<int64_t, std::byte*> free_;
  MemoryUse use_;
};

// Never destroyed: tensors in static storage may outlive any static destructor of ours.
Pool& pool() {
  static Pool* instance = new Pool(cpu_rules);
  return *instance;
}

// What dry runs count; the rules for CUDA are those of cuda/runtime/memory.cpp. One pair a thread, which
// tensors do not leave while it is dry.
thread_local bool dry = false;
Pool& dry_pool(Device device) {
  thread_local Pool cpu({cpu_rules.granularity, cpu_rules.small, false}), cuda({512, 0, false});
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
std::byte* dry_block() {
  alignas(alignment) static std::byte place[alignment];
  return place;
}

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
  if (data_ == dry_block())
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
