#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace fovea::cuda {

// The device's properties.
struct DeviceProperties {
  std::string name;
  int major = 0, minor = 0;  // compute capability: 9 and 0 for sm_90
  int multiprocessors = 0;
  size_t memory_bytes = 0;
  size_t shared_bytes_per_block = 0;  // the most that a launch may request
  bool simulated = false;             // cuda/sim runs the kernels, on the CPU
};

// The device in use: the first one, unless select_device() was called. Throws CudaError if the machine has no
// device.
const DeviceProperties& device_properties();

// The bytes of its memory that are free; this program's cached blocks do not count as free.
size_t free_memory_bytes();

int device_count();  // in the machine; 1 in the simulator
// Call it before anything else in this folder. Throws if there is no such device.
void select_device(int index);

// True in a build for the simulator.
bool is_simulated();

// The order in which the simulator starts threads and blocks; a GPU chooses its own. What a kernel computes
// must not depend on it: tests try all three.
enum class ThreadOrder { forward, reverse, shuffled };
void set_thread_order(ThreadOrder order);
ThreadOrder thread_order();  // as set; forward on a GPU

// When the simulator does the requested work: at once, or deferred until the host waits for it, like a GPU
// that is far behind. Then pinned memory is read and written only while the host waits, and events are not
// done before. A GPU is somewhere between the two: tests of work beside the host try both.
enum class Execution { immediate, deferred };
void set_execution(Execution execution);

}  // namespace fovea::cuda
