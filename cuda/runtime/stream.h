#pragma once
#include <cstdint>

typedef struct CUstream_st* cudaStream_t;
typedef struct CUevent_st* cudaEvent_t;

namespace fovea::cuda {

// A queue of work for the device. Work of one stream runs in order; work of two may overlap.
class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  cudaStream_t get() const { return stream_; }
  void synchronize() const;  // the host waits until all its work is done

  // `count` zeros in device memory, for kernels of this stream whose last block finishes
  // (cuda/device/last_block.h). Each launch leaves zeros, so all launches use the same ones, including
  // replays of graphs: a graph with such kernels must be replayed on the stream that it was captured on. They
  // are allocated with the stream, and not counted in device_memory_use(). Throws CudaError above
  // max_tickets.
  static constexpr int64_t max_tickets = 4096;
  unsigned* tickets(int64_t count) const;

 private:
  cudaStream_t stream_ = nullptr;
  unsigned* tickets_ = nullptr;
};

// A point in a stream's work.
class Event {
 public:
  Event();
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(const Stream& stream);                    // in a capture: at each replay of the graph
  void wait(const Stream& stream) const;                // later work of that stream waits for the point
  bool done() const;                                    // whether the device has reached it; does not wait
  void synchronize() const;                             // the host waits
  void throttle() const;                                // a host that is ahead waits: Counters::throttles
  double milliseconds_since(const Event& start) const;  // both recorded, and synchronised

 private:
  cudaEvent_t event_ = nullptr;
};

// The stream of this thread's launches, allocations and copies: one stream for the process, unless a
// StreamGuard selects another.
const Stream& current_stream();

// While one lives, this thread's work goes to that stream.
class StreamGuard {
 public:
  explicit StreamGuard(const Stream& stream);
  ~StreamGuard();
  StreamGuard(const StreamGuard&) = delete;
  StreamGuard& operator=(const StreamGuard&) = delete;

 private:
  const Stream* previous_;
};

// The host waits for everything on the device.
void synchronize();

}  // namespace fovea::cuda
