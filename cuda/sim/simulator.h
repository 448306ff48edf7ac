#pragma once
// The simulator's own interface: for cuda/runtime/launch.h, for tests, and between its files.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cuda/sim/sim.h"

namespace fovea::sim {

// The order in which the threads of a block, and the blocks of a grid, start. A GPU promises none: a kernel
// whose result depends on it is wrong.
enum class Order { forward, reverse, shuffled };

struct Options {
  Order order = Order::forward;
  uint64_t seed = 1;         // of Order::shuffled
  bool check_memory = true;  // bounds, uninitialised reads
  bool check_races = true;
  // Work stays in a queue until the host waits for it, as on a GPU that is far behind. cuda::set_execution()
  // sets it.
  bool deferred = false;
};
Options& options();

struct Kernel {
  const void* function;                                   // for its name
  void (*invoke)(const void* function, void* arguments);  // runs it for one thread
  void* arguments;  // all threads read them here, as a GPU does from its constant bank
  size_t argument_bytes;
  dim3 grid, block;
  size_t shared_bytes = 0;
  bool from_sm_80 = false;  // only GPUs of compute capability 8.0 and later run it
  const char* file = "";    // the launch
  int line = 0;
  std::vector<void*> (*words)(const void* arguments);  // those that can be pointers
};

// Runs every thread of the grid. Throws CudaError naming kernel, block, thread and line on misuse.
void run(const Kernel& kernel);

// ---- where the simulator is (scheduler.cpp)
// Whether this thread of the operating system runs a kernel's own code, whose accesses are checked, rather
// than the simulator's on its behalf. The linker keeps one copy of an inline function that both use, and that
// may be the kernel's, which reports its accesses.
extern constinit thread_local bool in_kernel_code;
struct SimulatorCode {  // functions that kernels call hold one
  SimulatorCode() { set(false); }
  ~SimulatorCode() { set(true); }
  SimulatorCode(const SimulatorCode&) = delete;
  SimulatorCode& operator=(const SimulatorCode&) = delete;

 private:
  __attribute__((no_sanitize("thread"))) static void set(bool value) {  // here, no earlier or later
    asm volatile("" ::: "memory");
    in_kernel_code = value;
    asm volatile("" ::: "memory");
  }
};
unsigned current_thread();      // its number in the block
unsigned current_warp_count();  // how often its warp has synchronised in this block
struct Epochs {                 // in ticks
  uint32_t launch, block, now;  // when the launch began, the block, the last barrier
  uint32_t tick;                // incremented at each of these, and at each fence and ticket
};
extern Epochs epochs;
size_t dynamic_shared_bytes();
void work_on_matrices(WarpOp op,
                      const MatrixLane* const* lanes);  // of the 32 lanes that have arrived (matrices.cpp)
bool is_argument(const void* address);                  // of the running kernel

// ---- order between the blocks of a launch (fence.cpp)
void take_ticket(unsigned* ticket, bool is_last);  // the work of atomicInc; is_last: it went back to 0
// Whether an access by another block at that tick happens before what this thread does now.
bool is_published(uint32_t tick, uint32_t thread);
// At the end of a launch: how many blocks took tickets although none was the last. The tickets are 0 again.
size_t give_back_tickets();

// Ends the launch that is running: run() throws with this sentence and where in the kernel it happened.
[[noreturn]] void stop_kernel(const std::string& what, const std::string& where);

// ---- memory (memory.cpp)
enum ByteState : uint8_t { not_allocated, uninitialised, initialised };
struct Arena {
  std::byte* base = nullptr;
  size_t bytes = 0;
  uint8_t* state = nullptr;  // a ByteState for each byte
};
const Arena& arena();
std::byte* shared_buffer();  // dynamic shared memory of the running block
// What every supported GPU can give a block, and every GPU of compute capability 8.0 and later.
inline constexpr size_t shared_limit_of_all = size_t(64) << 10, shared_limit = size_t(99) << 10;

// The host may access device memory while one of these lives: for a launch or a copy.
class Unlocked {
 public:
  Unlocked();
  ~Unlocked();
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;
};
// "" if [pointer, pointer + bytes) is allocated device memory, otherwise what is wrong with it.
std::string range_fault(const void* pointer, size_t bytes);
void mark_initialised(void* pointer, size_t bytes);
void prepare_shared(size_t bytes);  // NaN
// If the host touches device memory, reports that before the process dies. The first use of the device
// installs it; repeat it if something else has taken the signal since.
void install_fault_report();

// ---- names (source_line.cpp)
std::string source_line(const void* address);     // "cuda/kernels/x.cu:12"
std::string function_name(const void* function);  // "(anonymous namespace)::add_kernel<float>"
std::string short_file(const char* file);

}  // namespace fovea::sim
