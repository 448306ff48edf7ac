#include <fmt/format.h>

#include <atomic>
#include <cstring>

#include "cuda/runtime/check.h"
#include "cuda/runtime/counters.h"
#include "cuda/runtime/device.h"
#include "cuda/runtime/error.h"
#include "cuda/runtime/graph.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/profile.h"
#include "cuda/runtime/stream.h"
#ifdef FOVEA_SIM
#include "cuda/sim/capture.h"
#include "cuda/sim/queue.h"
#include "cuda/sim/simulator.h"
#endif

namespace fovea::cuda {
namespace {

int selected = 0;
thread_local const Stream* chosen = nullptr;
thread_local bool capturing = false;

}  // namespace

void check(cudaError_t error, const char* asked, const char* file, int line) {
  if (error == cudaSuccess) return;
  const char* from = std::strstr(file, "/cuda/");
  throw CudaError(fmt::format("CUDA: {} ({}, called at {}:{})", cudaGetErrorString(error), asked,
                              from ? from + 1 : file, line));
}

Counters& counters() {
  static Counters instance;
  return instance;
}

bool is_simulated() {
#ifdef FOVEA_SIM
  return true;
#else
  return false;
#endif
}

void set_thread_order([[maybe_unused]] ThreadOrder order) {
#ifdef FOVEA_SIM
  sim::options().order = order == ThreadOrder::forward   ? sim::Order::forward
                         : order == ThreadOrder::reverse ? sim::Order::reverse
                                                         : sim::Order::shuffled;
#endif
}

ThreadOrder thread_order() {
#ifdef FOVEA_SIM
  const sim::Order order = sim::options().order;
  return order == sim::Order::forward   ? ThreadOrder::forward
         : order == sim::Order::reverse ? ThreadOrder::reverse
                                        : ThreadOrder::shuffled;
#else
  return ThreadOrder::forward;
#endif
}

void set_execution([[maybe_unused]] Execution execution) {
#ifdef FOVEA_SIM
  sim::finish_all();
  sim::options().deferred = execution == Execution::deferred;
#endif
}

int device_count() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

void select_device(int index) {
  if (index < 0 || index >= device_count())
    throw CudaError(fmt::format("there is no CUDA device {}: this machine has {}", index, device_count()));
  selected = index;
  check(cudaSetDevice(index), "cudaSetDevice");
}

const DeviceProperties& device_properties() {
  static const DeviceProperties instance = [] {
    if (device_count() == 0)
      throw CudaError(
          "this machine has no CUDA device that the driver finds: choose the device cpu, or a build for the "
          "simulator (cmake --preset release)");
    cudaDeviceProp properties;
    check(cudaGetDeviceProperties(&properties, selected), "cudaGetDeviceProperties");
    return DeviceProperties{properties.name,
                            properties.major,
                            properties.minor,
                            properties.multiProcessorCount,
                            properties.totalGlobalMem,
                            properties.sharedMemPerBlockOptin,
                            is_simulated()};
  }();
  return instance;
}

size_t free_memory_bytes() {
  device_properties();
  size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return free;
}

Stream::Stream() {
  device_properties();  // throws with advice if there is no device
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
  constexpr size_t bytes = max_tickets * sizeof(unsigned);
  void* zeros = nullptr;
  check(cudaMalloc(&zeros, bytes), "cudaMalloc");
  check(cudaMemsetAsync(zeros, 0, bytes, stream_), "cudaMemsetAsync");
  tickets_ = static_cast<unsigned*>(zeros);
}
Stream::~Stream() {
  static_cast<void>(cudaFree(tickets_));
  static_cast<void>(cudaStreamDestroy(stream_));
}

unsigned* Stream::tickets(int64_t count) const {
  if (count > max_tickets)
    throw CudaError(fmt::format("a launch requests {} tickets, but there are only {}", count, max_tickets));
  return tickets_;
}

void Stream::synchronize() const {
  ++counters().synchronizations;
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
}

Event::Event() { check(cudaEventCreateWithFlags(&event_, cudaEventDefault), "cudaEventCreate"); }
Event::~Event() { static_cast<void>(cudaEventDestroy(event_)); }
void Event::record(const Stream& stream) {
  check(cudaEventRecordWithFlags(event_, stream.get(),
                                 capturing ? cudaEventRecordExternal : cudaEventRecordDefault),
        "cudaEventRecord");
}
void Event::wait(const Stream& stream) const {
  check(cudaStreamWaitEvent(stream.get(), event_, 0), "cudaStreamWaitEvent");
}
bool Event::done() const {
  const cudaError_t state = cudaEventQuery(event_);
  if (state != cudaErrorNotReady) check(state, "cudaEventQuery");
  return state == cudaSuccess;
}
void Event::synchronize() const {
  ++counters().synchronizations;
  check(cudaEventSynchronize(event_), "cudaEventSynchronize");
}
void Event::throttle() const {
  if (done()) return;
  ++counters().throttles;
  check(cudaEventSynchronize(event_), "cudaEventSynchronize");
}
double Event::milliseconds_since(const Event& start) const {
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, start.event_, event_), "cudaEventElapsedTime");
  return double(milliseconds);
}

const Stream& current_stream() {
  if (chosen) return *chosen;
  static const Stream* const first = new Stream;  // never destroyed: tensors in static storage may outlive it
  return *first;
}

StreamGuard::StreamGuard(const Stream& stream) : previous_(chosen) { chosen = &stream; }
StreamGuard::~StreamGuard() { chosen = previous_; }

void synchronize() {
  ++counters().synchronizations;
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
}

namespace {
void count(const LaunchConfig& config, const KernelCall& call) {
  ++counters().launches;
  if (!LaunchTimer::running()) return;
  const auto count = [](dim3 d) { return int64_t(d.x) * d.y * d.z; };
  int64_t bytes = config.bytes;
  if (bytes < 0) {
    const std::vector<void*> words = call.words(call.arguments);
    bytes = bytes_of_buffers(words.data(), words.size() * sizeof(void*));
  }
  LaunchTimer::note_kernel(
      call.kernel, {count(config.grid), int(count(config.block)), config.shared_bytes, config.steps}, bytes);
}
}  // namespace

#ifdef FOVEA_SIM
void launch_kernel(const LaunchConfig& config, const KernelCall& call) {
  count(config, call);
  sim::Kernel kernel{call.kernel, call.invoke,  call.arguments,      call.argument_bytes,
                     config.grid, config.block, config.shared_bytes, config.from_sm_80,
                     config.file, config.line,  call.words};
  if (sim::runs_at_once(current_stream().get())) return sim::run(kernel);
  const std::shared_ptr<void> kept(call.copy(call.arguments), call.destroy);
  kernel.arguments = kept.get();
  sim::submit(current_stream().get(), [kernel, kept] { sim::run(kernel); });
}
#else
void launch_kernel(const LaunchConfig& config, const KernelCall& call) {
  count(config, call);
  const auto name = [&] {
    const char* text = nullptr;
    return cudaFuncGetName(&text, call.kernel) == cudaSuccess ? text : "?";
  };
  if (config.shared_bytes > size_t(48) << 10)
    check(cudaFuncSetAttribute(call.kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               int(config.shared_bytes)),
          "more than 48 KB of shared memory", config.file, config.line);
  cudaLaunchConfig_t launch_config{};
  launch_config.gridDim = config.grid;
  launch_config.blockDim = config.block;
  launch_config.dynamicSmemBytes = config.shared_bytes;
  launch_config.stream = current_stream().get();
  cudaError_t error = cudaLaunchKernelExC(&launch_config, call.kernel, call.pointers);
  static const bool wait = std::getenv("FOVEA_SYNC") != nullptr;  // finds the kernel that fails
  if (error == cudaSuccess && wait && !capturing) error = cudaStreamSynchronize(current_stream().get());
  if (error != cudaSuccess)
    check(error,
          fmt::format("kernel {}, grid {} x {} x {}, block {} x {} x {}, {} bytes of shared memory", name(),
                      config.grid.x, config.grid.y, config.grid.z, config.block.x, config.block.y,
                      config.block.z, config.shared_bytes)
              .c_str(),
          config.file, config.line);
}
#endif

bool is_capturing() { return capturing; }

Graph::~Graph() {
  if (executable_) static_cast<void>(cudaGraphExecDestroy(executable_));
}

void Graph::warm_up(const std::function<void()>& work) {
  const PoolGuard pool(pool_);
  work();
}

void Graph::run(const std::function<void()>& work, const std::function<void()>& after_capture) {
  constexpr int warm_ups = 2;
  if (!captured()) {
    if (warm_ups_++ < warm_ups) return warm_up(work);
    capture(work);
    after_capture();
  }
  replay();
}

void Graph::capture(const std::function<void()>& work) {
  const PoolGuard pool(pool_);
  const cudaStream_t stream = current_stream().get();
  tickets_ = current_stream().tickets(0);
  if (executable_) check(cudaGraphExecDestroy(std::exchange(executable_, nullptr)), "cudaGraphExecDestroy");
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), "cudaStreamBeginCapture");
  capturing = true;
  cudaGraph_t graph = nullptr;
  try {
    work();
  } catch (...) {
    capturing = false;
    if (cudaStreamEndCapture(stream, &graph) == cudaSuccess && graph)
      static_cast<void>(cudaGraphDestroy(graph));
    throw;
  }
  capturing = false;
  check(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
  const cudaError_t error = cudaGraphInstantiate(&executable_, graph, 0);
  static_cast<void>(cudaGraphDestroy(graph));
  check(error, "cudaGraphInstantiate");
}

void Graph::replay() const {
  if (!executable_) throw CudaError("a graph was replayed that was never captured");
  if (current_stream().tickets(0) != tickets_)
    throw CudaError("a graph was replayed on another stream than the one it was captured on");
  ++counters().graph_replays;
  check(cudaGraphLaunch(executable_, current_stream().get()), "cudaGraphLaunch");
}

}  // namespace fovea::cuda
