#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace fovea::cuda {

// What the device is and has.
struct DeviceProperties {
  std::string name;
  int major = 0, minor = 0;  // compute capability: 9 and 0 for sm_90
  int multiprocessors = 0;
  size_t memory_bytes = 0;
  size_t shared_bytes_per_block = 0;  // most that a launch may ask for
  bool simulated = false;             // cuda/sim runs the kernels, on the CPU
};

// The device in use: the first one, unless select_device() was called. Throws CudaError where the machine has
// none.
const DeviceProperties& device_properties();

// Bytes of its memory that are free; this program's cached blocks are not among them.
size_t free_memory_bytes();

int device_count();  // in the machine; 1 in the simulator
// Before anything else of this folder is called. Throws where there is no such device.
void select_device(int index);

// True in a build for the simulator.
bool is_simulated();

// In which order the simulator begins threads and blocks; a GPU decides for itself. What a kernel computes
// must not depend on it: tests try all three.
enum class ThreadOrder { forward, reverse, shuffled };
void set_thread_order(ThreadOrder order);
ThreadOrder thread_order();  // as set; forward on a GPU

// When the simulator does what it is asked for: at once, or deferred, which is only when the host waits for
// it, as by a GPU that is far behind. Pinned memory is read and written then, and events are not done before.
// A GPU is somewhere between the two: tests of what runs beside the host try both.
enum class Execution { immediate, deferred };
void set_execution(Execution execution);

}  // namespace fovea::cuda
