#pragma once
#include <array>
#include <cstring>
#include <memory>

#include "cuda/runtime/memory.h"
#include "cuda/runtime/stream.h"

namespace fovea::cuda {

// Copies numbers that change from step to step to one place on the device without making the host wait for
// the device's work. The copies go through pinned memory, which the device reads itself, in two buffers, so
// that one can be filled while the other is read.
class StagedCopy {
 public:
  // Queues the copy after the work already in the current stream. The host waits if it is two copies ahead,
  // and then the device has work meanwhile (Counters::throttles); and if `bytes` is larger than ever before.
  void copy(void* to, const void* from, size_t bytes) {
    std::unique_ptr<Buffer>& buffer = buffers_[next_];
    next_ = 1 - next_;
    if (!buffer) buffer = std::make_unique<Buffer>();
    buffer->copied.throttle();
    if (!buffer->memory || buffer->memory->bytes() < bytes)
      buffer->memory = std::make_unique<PinnedMemory>(bytes);
    std::memcpy(buffer->memory->data(), from, bytes);
    copy_to_device(to, buffer->memory->data(), bytes);
    buffer->copied.record(current_stream());
  }

 private:
  struct Buffer {
    std::unique_ptr<PinnedMemory> memory;
    Event copied;
  };
  std::array<std::unique_ptr<Buffer>, 2> buffers_;
  size_t next_ = 0;
};

}  // namespace fovea::cuda
