#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cuda/runtime/stream.h"

namespace fovea::cuda {

// The part of a launch's configuration that its time depends on.
struct LaunchShape {
  int64_t blocks = 0;  // 0: not one of our kernels
  int threads = 0;     // of a block
  size_t shared_bytes = 0;
  int64_t steps = 0;  // LaunchConfig::steps
};

// One piece of work requested of the device.
struct LaunchTime {
  std::string kernel;  // "depthwise_tiled<3, 1, 8, bfloat16>"; also "gemm", "copy" and "fill"
  int64_t bytes = 0;   // of the buffers it was given, each counted once, or LaunchConfig::moves()
  double seconds = 0;  // on the device, including an event, which costs about a microsecond on a GPU
  LaunchShape shape;
};

// While one lives, an event precedes each piece of device work that this thread requests, so that the time to
// the next event is its time. Meant for a capture: in a graph nothing waits for the host, and each replay
// measures anew. Outside of one, a kernel shorter than the request of the next takes as long as that.
class LaunchTimer {
 public:
  LaunchTimer();
  ~LaunchTimer();
  LaunchTimer(const LaunchTimer&) = delete;
  LaunchTimer& operator=(const LaunchTimer&) = delete;

  void stop();                               // the last piece of work ends here
  std::vector<LaunchTime> launches() const;  // in order, without their times
  std::vector<LaunchTime> times() const;     // the host waits for the device. Throws before stop()

  // For functions that request device work; nothing happens if no timer runs.
  static bool running();
  static void note_kernel(const void* kernel, const LaunchShape& shape, int64_t bytes);
  static void note(const char* work, int64_t bytes);

 private:
  struct Launch {
    const void* kernel;  // or null, and
    const char* work;
    LaunchShape shape;
    int64_t bytes;
    Event begin;
  };
  void add(const void* kernel, const char* work, const LaunchShape& shape, int64_t bytes);

  std::vector<std::unique_ptr<Launch>> launches_;
  std::unique_ptr<Event> end_;
  LaunchTimer* previous_;
};

// The compiler's name of a kernel, without return type, namespaces and parameters.
std::string kernel_name(const void* kernel);
// The same from its mangled name, as in PTX and the CUDA runtime.
std::string kernel_name_of_symbol(const char* mangled);
// "void fovea::cuda::(anonymous namespace)::add<float, 4>(float*, long)" -> "add<float, 4>"
std::string short_kernel_name(const std::string& demangled);

}  // namespace fovea::cuda
