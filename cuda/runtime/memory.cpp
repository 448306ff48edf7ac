#include "cuda/runtime/memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <tuple>
#include <unordered_map>

#include "cuda/runtime/block_pool.h"
#include "cuda/runtime/check.h"
#include "cuda/runtime/counters.h"
#include "cuda/runtime/device.h"
#include "cuda/runtime/error.h"
#include "cuda/runtime/graph.h"
#include "cuda/runtime/profile.h"
#include "cuda/runtime/stream.h"

namespace fovea::cuda {
namespace {

constexpr size_t granularity = 512;
// In the simulator blocks do not touch: it would take the end of one for the beginning of the next.
size_t gap() { return is_simulated() ? granularity : 0; }
thread_local int current_pool = 0;

// One BlockPool for each pool and stream.
class CachingAllocator {
 public:
  void* take(size_t bytes, User user) {
    const std::lock_guard lock(mutex_);
    const size_t size = std::max(granularity, (bytes + granularity - 1) / granularity * granularity) + gap();
    const Block block{size, bytes, user, {current_pool, current_stream().get()}};
    BlockPool& blocks = blocks_[block.key];
    uintptr_t address = blocks.take(int64_t(size));
    if (address == 0) {
      // The less memory there is, the more strictly the simulator keeps the host out of it.
      const size_t segment_size = is_simulated() ? size : size_t(BlockPool::segment_size(int64_t(size)));
      void* segment = allocate_segment(segment_size);
      if (!segment) {
        give_back_locked();
        segment = allocate_segment(segment_size);
      }
      if (!segment) out_of_memory(bytes);
      use_.reserved += int64_t(segment_size);
      tell_simulator_freed(segment, segment_size);
      blocks.add_segment({reinterpret_cast<uintptr_t>(segment), int64_t(segment_size)}, int64_t(size));
      address = blocks.take(int64_t(size));
    }
    void* pointer = reinterpret_cast<void*>(address);
    if (user == User::kernels) tell_simulator_allocated(pointer, std::max<size_t>(bytes, 1));
    live_.emplace(pointer, block);
    use_.current += int64_t(block.size - gap());
    use_.peak = std::max(use_.peak, use_.current);
    return pointer;
  }

  void give(void* pointer) {
    if (!pointer) return;
    const std::lock_guard lock(mutex_);
    const auto found = live_.find(pointer);
    if (found == live_.end()) return;
    const Block block = found->second;
    live_.erase(found);
    use_.current -= int64_t(block.size - gap());
    if (block.user == User::kernels) tell_simulator_freed(pointer, block.size);
    BlockPool& blocks = blocks_[block.key];
    blocks.give(reinterpret_cast<uintptr_t>(pointer), int64_t(block.size));
    if (gone_.contains(block.key.pool)) free_segments(blocks);
  }

  void give_back() {
    const std::lock_guard lock(mutex_);
    give_back_locked();
  }

  int new_pool() {
    const std::lock_guard lock(mutex_);
    return ++pools_;
  }

  void end_pool(int pool) {
    const std::lock_guard lock(mutex_);
    gone_.insert(pool);
    for (auto& [key, blocks] : blocks_)
      if (key.pool == pool) free_segments(blocks);
  }

  int64_t bytes_of_buffers(const void* values, size_t bytes) {
    const std::lock_guard lock(mutex_);
    std::map<const std::byte*, int64_t> found;  // for each buffer, how much of it
    for (size_t at = 0; at + sizeof(std::byte*) <= bytes; at += alignof(std::byte*)) {
      const std::byte* pointer = nullptr;
      std::memcpy(&pointer, static_cast<const std::byte*>(values) + at, sizeof pointer);
      for (const auto& [begin, block] : live_) {
        const auto* first = static_cast<const std::byte*>(begin);
        if (pointer < first || pointer >= first + block.asked_for) continue;
        found[first] = std::max(found[first], int64_t(first + block.asked_for - pointer));
      }
    }
    int64_t sum = 0;
    for (const auto& [begin, count] : found) sum += count;
    return sum;
  }

  DeviceMemoryUse use() {
    const std::lock_guard lock(mutex_);
    return use_;
  }
  void reset_peak() {
    const std::lock_guard lock(mutex_);
    use_.peak = use_.current;
  }

 private:
  struct Key {
    int pool;
    cudaStream_t stream;
    bool operator<(const Key& other) const {
      return std::tie(pool, stream) < std::tie(other.pool, other.stream);
    }
  };
  struct Block {
    size_t size, asked_for;
    User user;
    Key key;
  };

  static void* allocate_segment(size_t size) {
    ++counters().allocations;
    void* pointer = nullptr;
    const cudaError_t error = cudaMalloc(&pointer, size);
    if (error == cudaSuccess) return pointer;
    static_cast<void>(cudaGetLastError());
    if (error != cudaErrorMemoryAllocation) check(error, "cudaMalloc");
    return nullptr;
  }

  void free_segments(BlockPool& blocks) {
    for (const auto& [address, size] : blocks.take_free_segments()) {
      // cudaFree waits for the work that may still use it.
      static_cast<void>(cudaFree(reinterpret_cast<void*>(address)));
      use_.reserved -= size;
    }
  }

  void give_back_locked() {
    if (is_capturing()) return;  // the graph may need what it freed
    for (auto& [key, blocks] : blocks_)
      if (key.pool == 0) free_segments(blocks);  // the others belong to graphs
  }

  [[noreturn]] void out_of_memory(size_t bytes) {
    size_t free = 0, total = 0;
    static_cast<void>(cudaMemGetInfo(&free, &total));
    constexpr double mb = 1 << 20;
    throw CudaError(
        fmt::format("the CUDA device is out of memory: {:.1f} MB requested, {:.1f} MB in use here, {:.1f} MB "
                    "free of {:.1f} MB. "
                    "Try a smaller batch or image size",
                    double(bytes) / mb, double(use_.current) / mb, double(free) / mb, double(total) / mb));
  }

  std::mutex mutex_;
  std::map<Key, BlockPool> blocks_;
  std::unordered_map<void*, Block> live_;
  std::set<int> gone_;
  int pools_ = 0;
  DeviceMemoryUse use_;
};

// Never destroyed: tensors in static storage may outlive any static destructor.
CachingAllocator& allocator() {
  static CachingAllocator* const instance = new CachingAllocator;
  return *instance;
}

void copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  ++counters().copies;
  LaunchTimer::note("copy", int64_t(kind == cudaMemcpyDeviceToDevice ? 2 * bytes : bytes));
  check(cudaMemcpyAsync(to, from, bytes, kind, current_stream().get()), "cudaMemcpyAsync");
}

}  // namespace

void* allocate(size_t bytes, User user) { return allocator().take(bytes, user); }
void release(void* pointer) { allocator().give(pointer); }
int64_t bytes_of_buffers(const void* values, size_t bytes) {
  return allocator().bytes_of_buffers(values, bytes);
}
DeviceMemoryUse device_memory_use() { return allocator().use(); }
void reset_device_peak() { allocator().reset_peak(); }
void release_cached_device_memory() { allocator().give_back(); }

void copy_to_device(void* to, const void* from, size_t bytes) {
  copy(to, from, bytes, cudaMemcpyHostToDevice);
}
void copy_on_device(void* to, const void* from, size_t bytes) {
  copy(to, from, bytes, cudaMemcpyDeviceToDevice);
}
void copy_to_host_async(void* to, const void* from, size_t bytes) {
  copy(to, from, bytes, cudaMemcpyDeviceToHost);
}
void copy_to_host(void* to, const void* from, size_t bytes) {
  copy_to_host_async(to, from, bytes);
  current_stream().synchronize();
}
void fill_bytes(void* to, int value, size_t bytes) {
  LaunchTimer::note("fill", int64_t(bytes));
  check(cudaMemsetAsync(to, value, bytes, current_stream().get()), "cudaMemsetAsync");
}

PinnedMemory::PinnedMemory(size_t bytes) : bytes_(bytes) {
  void* pointer = nullptr;
  check(cudaMallocHost(&pointer, std::max<size_t>(bytes, 1)), "cudaMallocHost");
  data_ = static_cast<std::byte*>(pointer);
}
PinnedMemory::~PinnedMemory() { static_cast<void>(cudaFreeHost(data_)); }

MemoryPool::MemoryPool() : id_(allocator().new_pool()) {}
MemoryPool::~MemoryPool() { allocator().end_pool(id_); }
PoolGuard::PoolGuard(const MemoryPool& pool) : previous_(current_pool) { current_pool = pool.id(); }
PoolGuard::~PoolGuard() { current_pool = previous_; }

}  // namespace fovea::cuda
