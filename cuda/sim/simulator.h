#pragma once
// The simulator's own interface: for cuda/runtime/launch.h, for tests, and between its files.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cuda/sim/sim.h"

namespace fovea::sim {

// In which order the threads of a block, and the blocks of a grid, begin. A GPU promises none: a kernel whose
// result depends on it is wrong.
enum class Order { forward, reverse, shuffled };

struct Options {
  Order order = Order::forward;
  uint64_t seed = 1;         // of Order::shuffled
  bool check_memory = true;  // bounds, uninitialised reads
  bool check_races = true;
  // Work waits in a queue until the host waits for it, as on a GPU that is far behind. Set by
  // cuda::set_execution().
  bool deferred = false;
};
Options& options();

struct Kernel {
  const void* function;                                   // for its name
  void (*invoke)(const void* function, void* arguments);  // runs it for one thread
  void* arguments;  // all threads read them here, as on a GPU from its constant bank
  size_t argument_bytes;
  dim3 grid, block;
  size_t shared_bytes = 0;
  const char* file = "";  // the launch
  int line = 0;
  std::vector<void*> (*words)(const void* arguments);  // those that can be pointers
};

// Runs every thread of the grid. Throws CudaError naming kernel, block, thread and line on misuse.
void run(const Kernel& kernel);

// ---- where the simulator is (scheduler.cpp)
// Whether this thread of the operating system runs a kernel's own code, whose accesses are to be checked, and
// not the simulator's on its behalf. Of an inline function that both use the linker keeps one copy, and that
// may be the kernel's, which reports its accesses.
extern constinit thread_local bool in_kernel_code;
struct SimulatorCode {  // what kernels call holds one
  SimulatorCode() { set(false); }
  ~SimulatorCode() { set(true); }
  SimulatorCode(const SimulatorCode&) = delete;
  SimulatorCode& operator=(const SimulatorCode&) = delete;

 private:
  __attribute__((no_sanitize("thread"))) static void set(bool value) {  // here, neither sooner nor later
    asm volatile("" ::: "memory");
    in_kernel_code = value;
    asm volatile("" ::: "memory");
  }
};
unsigned current_thread();      // its number in the block
unsigned current_warp_count();  // how often its warp has synchronised in this block
struct Epochs {                 // in ticks
  uint32_t launch, block, now;  // when the launch began, the block, the last barrier
  uint32_t tick;                // one more at each of these, and at each fence and ticket
};
extern Epochs epochs;
size_t dynamic_shared_bytes();
void work_on_matrices(WarpOp op,
                      const MatrixLane* const* lanes);  // of 32 lanes that have come (matrices.cpp)
bool is_argument(const void* address);                  // of the kernel that runs

// ---- order between the blocks of a launch (fence.cpp)
void take_ticket(unsigned* ticket, bool is_last);  // atomicInc's work; is_last: it went back to 0
// Whether an access by another block at that tick comes before what this thread does now.
bool is_published(uint32_t tick, uint32_t thread);
// At the end of a launch: how many blocks took tickets without one being the last. The tickets are 0 again.
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
std::byte* shared_buffer();                               // dynamic shared memory of the block that runs
inline constexpr size_t shared_limit = size_t(64) << 10;  // what every supported GPU can give a block

// The host may touch device memory while one of these lives: a launch or a copy.
class Unlocked {
 public:
  Unlocked();
  ~Unlocked();
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;
};
// "" where [pointer, pointer + bytes) is allocated device memory, otherwise what is wrong with it.
std::string range_fault(const void* pointer, size_t bytes);
void mark_initialised(void* pointer, size_t bytes);
void prepare_shared(size_t bytes);  // NaN
// Where the host touches device memory, says so before the process dies. Done by the first use of the device,
// and to be repeated where somebody else has taken the signal since.
void install_fault_report();

// ---- names (source_line.cpp)
std::string source_line(const void* address);     // "cuda/kernels/x.cu:12"
std::string function_name(const void* function);  // "(anonymous namespace)::add_kernel<float>"
std::string short_file(const char* file);

}  // namespace fovea::sim
