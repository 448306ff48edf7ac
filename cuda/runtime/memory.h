#pragma once
#include <cstddef>
#include <cstdint>

namespace fovea::cuda {

// Device memory from the caching allocator. A request, rounded up to 512 bytes, is cut from the smallest free
// block of the same stream that is large enough, and joined with its free neighbours when it is released
// (block_pool.h). That needs no waiting, because the work of one stream runs in order. When memory runs out,
// the allocator returns what is cached and tries once more; then CudaError says how much was requested, is in
// use and is free. The content is undefined. Kernels must not touch a library's scratch space: the simulator
// reports those that do, and does not fill it with NaN, which would take longer than most products.
enum class User { kernels, library };
void* allocate(size_t bytes, User user = User::kernels);
void release(void* pointer);  // on the stream that allocated it; null does nothing

// The bytes of the buffers in use that the `bytes` bytes at `values` point to, where every aligned word is
// read as a pointer: from there to the buffer's end, with each buffer counted once. A kernel that reads or
// writes its arguments once moves that many.
int64_t bytes_of_buffers(const void* values, size_t bytes);

// What the caching allocator has handed out and what it holds.
struct DeviceMemoryUse {
  int64_t current = 0;   // bytes handed out
  int64_t peak = 0;      // the most since reset_peak()
  int64_t reserved = 0;  // taken from the device: handed out and cached
};
DeviceMemoryUse device_memory_use();
void reset_device_peak();
void release_cached_device_memory();

// Copies run on the current stream, in order with its work. To the host, the function returns when the bytes
// have arrived. From the host, it returns when `from` may be overwritten, unless that is pinned memory, which
// must not change until the stream has reached the copy.
void copy_to_device(void* to, const void* from, size_t bytes);
void copy_to_host(void* to, const void* from, size_t bytes);
void copy_on_device(void* to, const void* from, size_t bytes);
void fill_bytes(void* to, int value, size_t bytes);

// Like copy_to_host, but does not wait; `to` should be pinned, and be read after synchronising the stream.
void copy_to_host_async(void* to, const void* from, size_t bytes);

// Scratch space of a kernel or a library, on the current stream.
template <class T>
class Workspace {
 public:
  explicit Workspace(int64_t count, User user = User::kernels)
      : data_(static_cast<T*>(allocate(size_t(count) * sizeof(T), user))) {}
  ~Workspace() { release(data_); }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  T* data() const { return data_; }

 private:
  T* data_;
};

// Host memory from which the device copies without the CPU, for batches in transit.
class PinnedMemory {
 public:
  explicit PinnedMemory(size_t bytes);
  ~PinnedMemory();
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;
  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

// A separate pool for everything allocated while a PoolGuard of it lives on a thread. A graph needs that: its
// replay writes to the addresses it was captured with, which no one else may get in the meantime. Blocks
// return to the pool they came from; those of a pool that no longer exists, to the device.
class MemoryPool {
 public:
  MemoryPool();
  ~MemoryPool();
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;
  int id() const { return id_; }

 private:
  int id_;
};
// While one lives, this thread allocates from that pool.
class PoolGuard {
 public:
  explicit PoolGuard(const MemoryPool& pool);
  ~PoolGuard();
  PoolGuard(const PoolGuard&) = delete;
  PoolGuard& operator=(const PoolGuard&) = delete;

 private:
  int previous_;
};

}  // namespace fovea::cuda
