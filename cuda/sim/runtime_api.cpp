// The simulated CUDA runtime: streams do their work at once, unless they are being captured into a graph, or
// the device is deferred.
#include "cuda/sim/runtime_api.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include <fmt/format.h>

#include "cuda/runtime/error.h"
#include "cuda/sim/capture.h"
#include "cuda/sim/queue.h"
#include "cuda/sim/simulator.h"

namespace {

// An event's latest record. It outlives the event if pending work holds it.
struct Moment {
  std::chrono::steady_clock::time_point time;
  bool recorded = false;
  int64_t request = 0;  // number, on a deferred device
};

struct Recording {
  std::vector<std::function<void()>> work;
  std::vector<std::shared_ptr<Moment>> moments;  // which each replay records anew
};

}  // namespace

struct CUstream_st {
  std::unique_ptr<Recording> captured;
  int64_t request = 0;  // the latest
};
struct CUevent_st {
  std::shared_ptr<Moment> moment = std::make_shared<Moment>();
};
struct CUgraph_st {
  std::shared_ptr<const Recording> recording;
};
struct CUgraphExec_st {
  std::shared_ptr<const Recording> recording;
};

namespace {

using namespace fovea::sim;

CUstream_st default_stream;
CUstream_st& of(cudaStream_t stream) { return stream ? *stream : default_stream; }

CUstream_st* any_capture = nullptr;  // one at a time

// Pinned host memory: where each block begins, and its bytes. Never destroyed, like device memory.
struct PinnedBlocks {
  std::mutex mutex;
  std::map<const std::byte*, size_t> blocks;
};
PinnedBlocks& pinned() {
  static auto* const instance = new PinnedBlocks;
  return *instance;
}

bool is_pinned(const void* pointer) {
  const std::lock_guard lock(pinned().mutex);
  const auto* at = static_cast<const std::byte*>(pointer);
  const auto after = pinned().blocks.upper_bound(at);
  return after != pinned().blocks.begin() && at < std::prev(after)->first + std::prev(after)->second;
}

void copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  const auto require_range = [&](const char* which, const void* pointer) {
    const std::string fault = range_fault(pointer, bytes);
    if (!fault.empty())
      throw fovea::CudaError(
          fmt::format("[simulator] copy of {} bytes: the {} is wrong: {}", bytes, which, fault));
  };
  const Unlocked unlocked;
  if (kind != cudaMemcpyHostToDevice) require_range("source", from);
  if (kind != cudaMemcpyDeviceToHost) require_range("destination", to);
  std::memmove(to, from, bytes);
  if (kind == cudaMemcpyHostToDevice) mark_initialised(to, bytes);
  if (kind == cudaMemcpyDeviceToDevice)
    std::memcpy(arena().state + (static_cast<std::byte*>(to) - arena().base),
                arena().state + (static_cast<const std::byte*>(from) - arena().base), bytes);
}

}  // namespace

namespace fovea::sim {
bool runs_at_once(cudaStream_t stream) { return !of(stream).captured && !defers(); }
void submit(cudaStream_t stream, std::function<void()> work) {
  if (of(stream).captured)
    of(stream).captured->work.push_back(std::move(work));
  else if (defers())
    of(stream).request = enqueue(std::move(work));
  else
    work();
}
bool postponed(std::function<void()> work) {
  if (is_running()) return false;
  if (any_capture)
    any_capture->captured->work.push_back(std::move(work));
  else if (defers())
    enqueue(std::move(work));
  else
    return false;
  return true;
}
}  // namespace fovea::sim

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : cudaErrorInvalidDevice; }

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device != 0) return cudaErrorInvalidDevice;
  size_t free, total;
  cudaMemGetInfo(&free, &total);
  *properties = {"simulated CUDA device", total, 8, 0, 4, shared_limit};
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  if (any_capture) return cudaErrorStreamCaptureUnsupported;
  finish_all();
  rethrow_failure();
  return cudaSuccess;
}
cudaError_t cudaGetLastError() { return cudaSuccess; }

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorNotReady:
      return "device not ready";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    case cudaErrorIllegalState:
      return "the operation cannot be performed in the present state";
  }
  return "unknown error";
}

cudaError_t cudaMallocHost(void** pointer, size_t bytes) {
  *pointer = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (!*pointer) return cudaErrorMemoryAllocation;
  const std::lock_guard lock(pinned().mutex);
  pinned().blocks.emplace(static_cast<const std::byte*>(*pointer), bytes);
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* pointer) {
  finish_all();
  {
    const std::lock_guard lock(pinned().mutex);
    pinned().blocks.erase(static_cast<const std::byte*>(pointer));
  }
  std::free(pointer);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  const bool deferred = !of(stream).captured && defers();
  if (deferred && kind == cudaMemcpyHostToDevice && !is_pinned(from)) {
    // The driver reads pageable memory before it returns, and pinned memory when the copy's turn comes.
    const auto* begin = static_cast<const std::byte*>(from);
    submit(stream, [=, staged = std::vector<std::byte>(begin, begin + bytes)] {
      copy(to, staged.data(), bytes, kind);
    });
    return cudaSuccess;
  }
  submit(stream, [=] { copy(to, from, bytes, kind); });
  if (deferred && kind == cudaMemcpyDeviceToHost && !is_pinned(to)) finish_all();
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  if (bytes > 0)
    submit(stream, [=] {
      const Unlocked unlocked;
      const std::string fault = range_fault(to, bytes);
      if (!fault.empty())
        throw fovea::CudaError(fmt::format("[simulator] memset of {} bytes: {}", bytes, fault));
      std::memset(to, value, bytes);
      mark_initialised(to, bytes);
    });
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new CUstream_st;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (of(stream).captured) return cudaErrorStreamCaptureUnsupported;
  finish(of(stream).request);
  rethrow_failure();
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags) {
  const auto record = [moment = event->moment] {
    moment->time = std::chrono::steady_clock::now();
    moment->recorded = true;
  };
  if (Recording* recording = of(stream).captured.get()) {
    if (flags != cudaEventRecordExternal) return cudaErrorInvalidValue;  // no event of ours orders a graph
    recording->moments.push_back(event->moment);
  }
  submit(stream, record);
  event->moment->request = of(stream).request;
  return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  return is_finished(event->moment->request) ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  finish(event->moment->request);
  rethrow_failure();
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  const Moment &from = *start->moment, &to = *end->moment;
  if (!is_finished(from.request) || !is_finished(to.request)) return cudaErrorNotReady;
  if (!from.recorded || !to.recorded) return cudaErrorInvalidValue;
  *milliseconds = std::chrono::duration<float, std::milli>(to.time - from.time).count();
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (!stream) return cudaErrorStreamCaptureUnsupported;  // the default stream cannot be captured
  if (any_capture || of(stream).captured) return cudaErrorIllegalState;
  of(stream).captured = std::make_unique<Recording>();
  any_capture = stream;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  if (!of(stream).captured) return cudaErrorIllegalState;
  *graph = new CUgraph_st{std::move(of(stream).captured)};
  any_capture = nullptr;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = new CUgraphExec_st{graph->recording};
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  if (of(stream).captured) return cudaErrorStreamCaptureUnsupported;
  submit(stream, [recording = executable->recording] {
    for (const auto& work : recording->work) work();
  });
  for (const auto& moment : executable->recording->moments) moment->request = of(stream).request;
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}
