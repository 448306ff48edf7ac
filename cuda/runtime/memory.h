#pragma once
#include <cstddef>
#include <cstdint>

namespace fovea::cuda {

// Device memory from the caching allocator. A request, rounded up to 512 bytes, is cut from the smallest free
// block of the same stream that is large enough, and joined with its free neighbours when it is released
// (block_pool.h). That needs no waiting, since work of one stream runs in order. On exhaustion what is cached
// is given back and the request tried once more; then CudaError says how much was asked for, in use and free.
// The content is undefined. Kernels have no business in a library's scratch space: the simulator reports
// those that touch it, and does not fill it with NaN, which would take longer than most products.
enum class User { kernels, library };
void* allocate(size_t bytes, User user = User::kernels);
void release(void* pointer);  // where it was allocated on this stream's behalf; null is nothing

// The bytes of the buffers in use that the `bytes` bytes at `values` point to, every aligned word being read
// as a pointer: from there to the buffer's end, each buffer counted once. A kernel that reads or writes what
// it is given once moves that many.
int64_t bytes_of_buffers(const void* values, size_t bytes);

// What the caching allocator has handed out and holds.
struct DeviceMemoryUse {
  int64_t current = 0;   // bytes handed out
  int64_t peak = 0;      // the most since reset_peak()
  int64_t reserved = 0;  // taken from the device: handed out and cached
};
DeviceMemoryUse device_memory_use();
void reset_device_peak();
void release_cached_device_memory();

// On the current stream, in order with its work. To the host: returns when the bytes are there. From the
// host: when `from` may be overwritten, unless it is pinned memory, which must stay as it is until the stream
// has come by.
void copy_to_device(void* to, const void* from, size_t bytes);
void copy_to_host(void* to, const void* from, size_t bytes);
void copy_on_device(void* to, const void* from, size_t bytes);
void fill_bytes(void* to, int value, size_t bytes);

// As copy_to_host, but does not wait; `to` should be pinned, and be read after the stream was synchronised.
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

// Host memory that the device copies from without the CPU: for batches on their way.
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

// A pool of its own for what is allocated while one of these lives on a thread. A graph needs that: its
// replay writes to the addresses it was captured with, which nobody else may get in the meantime. Blocks go
// back to the pool they came from; those of a pool that is gone, to the device.
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
