// The simulated CUDA runtime: streams do at once what they are asked, unless they are being captured into a
// graph.
#include "cuda/sim/runtime_api.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include <fmt/format.h>

#include "cuda/runtime/error.h"
#include "cuda/sim/capture.h"
#include "cuda/sim/simulator.h"

struct CUstream_st {
  std::unique_ptr<std::vector<std::function<void()>>> captured;
};
struct CUevent_st {
  std::chrono::steady_clock::time_point time;
  bool recorded = false;
};
struct CUgraph_st {
  std::vector<std::function<void()>> work;
};
struct CUgraphExec_st {
  std::vector<std::function<void()>> work;
};

namespace {

using namespace fovea::sim;

CUstream_st default_stream;
CUstream_st& of(cudaStream_t stream) { return stream ? *stream : default_stream; }

CUstream_st* any_capture = nullptr;  // one at a time

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
void submit(cudaStream_t stream, std::function<void()> work) {
  if (of(stream).captured)
    of(stream).captured->push_back(std::move(work));
  else
    work();
}
bool captured(std::function<void()> work) {
  if (any_capture) any_capture->captured->push_back(std::move(work));
  return any_capture != nullptr;
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
  *properties = {"simulated CUDA device", total, 7, 5, 4, shared_limit};
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() { return any_capture ? cudaErrorStreamCaptureUnsupported : cudaSuccess; }
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
  return *pointer ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFreeHost(void* pointer) {
  std::free(pointer);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  if (bytes > 0) submit(stream, [=] { copy(to, from, bytes, kind); });
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
  return of(stream).captured ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
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
  const auto record = [event] {
    event->time = std::chrono::steady_clock::now();
    event->recorded = true;
  };
  if (flags == cudaEventRecordExternal)
    submit(stream, record);
  else
    record();
  return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  if (!start->recorded || !end->recorded) return cudaErrorInvalidValue;
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (!stream) return cudaErrorStreamCaptureUnsupported;  // the default stream cannot be captured
  if (any_capture || of(stream).captured) return cudaErrorIllegalState;
  of(stream).captured = std::make_unique<std::vector<std::function<void()>>>();
  any_capture = stream;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  if (!of(stream).captured) return cudaErrorIllegalState;
  *graph = new CUgraph_st{std::move(*of(stream).captured)};
  of(stream).captured = nullptr;
  any_capture = nullptr;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = new CUgraphExec_st{graph->work};
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  if (of(stream).captured) return cudaErrorStreamCaptureUnsupported;
  for (const auto& work : executable->work) work();
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
