// Runs a grid: blocks one after another, the threads of a block as fibers that switch where they wait.
#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <numeric>
#include <vector>

// sim.h declares these constant for kernels; here they are set. The linker compares only their names.
#define threadIdx const_threadIdx
#define blockIdx const_blockIdx
#define blockDim const_blockDim
#define gridDim const_gridDim
#include "cuda/device/philox.h"
#include "cuda/runtime/error.h"
#include "cuda/sim/fiber.h"
#include "cuda/sim/film.h"
#include "cuda/sim/queue.h"
#include "cuda/sim/simulator.h"
#include "cuda/sim/watcher.h"
#undef threadIdx
#undef blockIdx
#undef blockDim
#undef gridDim

#include <fmt/format.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

uint3 threadIdx, blockIdx, blockDim, gridDim;

namespace fovea::sim {

Epochs epochs{1, 1, 1, 1};
constinit thread_local bool in_kernel_code = false;
std::vector<Watcher*> watchers;

namespace {

enum class State : uint8_t { fresh, running, in_barrier, in_warp_operation, exited };

struct Thread {
  State state = State::fresh;
  int fiber = -1;
  // What it waits for:
  const char* file = nullptr;
  int line = 0;
  WarpOp op = WarpOp::sync;
  unsigned mask = 0;
  uint64_t value = 0, result = 0;
  int parameter = 0, width = 32;
};

struct Block {
  std::vector<Thread> threads;
  std::vector<unsigned> order;  // in which threads begin
  size_t begun = 0;
  std::vector<unsigned> ready;  // may continue after a wait; the last goes first
  unsigned in_barrier = 0, exited = 0;
  const char* barrier_file = "";  // of the first barrier reached by those in_barrier
  int barrier_line = 0;
  unsigned warp_count[32] = {};
};

struct Fibers {
  Context contexts[max_fibers];
  std::vector<int> idle;
  int made = 0;
};

std::mutex one_launch;
Fibers fibers;
Block block;
Context scheduler;
const Kernel* kernel = nullptr;
unsigned current = 0;
int current_fiber = -1;
uint64_t shuffles = 0;
std::string fault;
thread_local bool inside = false;

uint3 index_of(unsigned linear) {
  return {linear % kernel->block.x, linear / kernel->block.x % kernel->block.y,
          linear / kernel->block.x / kernel->block.y};
}

std::string name(uint3 i) { return fmt::format("({}, {}, {})", i.x, i.y, i.z); }
std::string thread_name(unsigned linear) { return name(index_of(linear)); }
std::string site(const char* file, int line) { return fmt::format("{}:{}", short_file(file), line); }

void arrange(std::vector<unsigned>& order, size_t n) {
  order.resize(n);
  std::iota(order.begin(), order.end(), 0u);
  if (options().order == Order::reverse) std::reverse(order.begin(), order.end());
  if (options().order == Order::shuffled)
    for (size_t i = n; i > 1; --i)
      std::swap(order[i - 1], order[philox4x32(options().seed, shuffles++).word[0] % i]);
}

void become(unsigned thread) {
  current = thread;
  threadIdx = index_of(thread);
  block.threads[thread].state = State::running;
}

void exit_thread() {
  block.threads[current].state = State::exited;
  ++block.exited;
  if (block.in_barrier == 0) return;
  for (const Thread& waiting : block.threads)
    if (waiting.state == State::in_barrier)
      stop_kernel(
          fmt::format("the thread has left the kernel while {} others wait for it at a barrier: let every "
                      "thread of the block reach it",
                      block.in_barrier),
          site(waiting.file, waiting.line));
}

// A fiber runs thread after thread, as long as none waits.
void fiber_entry() {
  const int self = current_fiber;
  arrived(fibers.contexts[self]);
  for (;;) {
    while (block.begun < block.order.size()) {
      become(block.order[block.begun++]);
      block.threads[current].fiber = self;
      // Exceptions from within a kernel end here, on the stack where they began.
      try {
        in_kernel_code = true;
        kernel->invoke(kernel->function, kernel->arguments);
        in_kernel_code = false;
        exit_thread();
      } catch (const CudaError& error) {
        in_kernel_code = false;
        fault = error.what();
      }
      if (!fault.empty()) break;
    }
    fibers.idle.push_back(self);
    switch_to(fibers.contexts[self], scheduler);
  }
}

void resume(int fiber) {
  current_fiber = fiber;
  switch_to(scheduler, fibers.contexts[fiber]);
}

// Returns to the scheduler until another thread makes this one ready.
void wait() {
  const unsigned self = current;
  const int fiber = current_fiber;
  switch_to(fibers.contexts[fiber], scheduler);
  current_fiber = fiber;
  become(self);
}

void make_ready(unsigned thread) {
  block.threads[thread].state = State::running;
  block.ready.push_back(thread);
}

[[noreturn]] void deadlock() {
  std::string list;
  int listed = 0;
  unsigned first = 0;
  for (unsigned t = block.threads.size(); t-- > 0;)
    if (block.threads[t].state == State::in_barrier || block.threads[t].state == State::in_warp_operation)
      first = t;
  for (unsigned t = 0; t < block.threads.size() && listed < 8; ++t) {
    const Thread& thread = block.threads[t];
    if (thread.state != State::in_barrier && thread.state != State::in_warp_operation) continue;
    list += fmt::format("{}thread {} at {} ({})", listed++ ? ", " : "", thread_name(t),
                        site(thread.file, thread.line),
                        thread.state == State::in_barrier ? "barrier" : "warp operation");
  }
  current = first;
  stop_kernel(fmt::format("deadlock: no thread can continue; {}", list),
              site(block.threads[first].file, block.threads[first].line));
}

void start_fiber() {
  int fiber;
  if (!fibers.idle.empty()) {
    fiber = fibers.idle.back();
    fibers.idle.pop_back();
  } else {
    fiber = fibers.made++;
    fibers.contexts[fiber] = new_fiber(fiber, fiber_entry);
  }
  resume(fiber);
}

void run_block(unsigned linear) {
  blockIdx = {linear % gridDim.x, linear / gridDim.x % gridDim.y, linear / gridDim.x / gridDim.y};
  epochs.block = epochs.now = ++epochs.tick;
  prepare_shared(kernel->shared_bytes);
  const size_t n = size_t(blockDim.x) * blockDim.y * blockDim.z;
  block.threads.assign(n, {});
  arrange(block.order, n);
  block.begun = 0;
  block.ready.clear();
  block.in_barrier = block.exited = 0;
  std::fill_n(block.warp_count, 32, 0u);
  while (fault.empty() && block.exited < n) {
    if (block.begun < n) {
      start_fiber();
    } else if (!block.ready.empty()) {
      const unsigned thread = block.ready.back();
      block.ready.pop_back();
      resume(block.threads[thread].fiber);
    } else {
      try {
        deadlock();
      } catch (const CudaError& error) {
        fault = error.what();
      }
    }
  }
}

void check_limits(const Kernel& k) {
  const auto refuse = [&](const std::string& what) {
    throw CudaError(fmt::format("[simulator] {}: kernel {}, launched at {}", what, function_name(k.function),
                                site(k.file, k.line)));
  };
  const size_t threads = size_t(k.block.x) * k.block.y * k.block.z;
  if (threads == 0 || threads > 1024 || k.block.x > 1024 || k.block.y > 1024 || k.block.z > 64)
    refuse(fmt::format("a block of {} x {} x {} threads: there may be 1 to 1024", k.block.x, k.block.y,
                       k.block.z));
  if (k.grid.x == 0 || k.grid.y == 0 || k.grid.z == 0 || k.grid.x > 0x7fffffffu || k.grid.y > 65535 ||
      k.grid.z > 65535)
    refuse(fmt::format("a grid of {} x {} x {} blocks: there may be 1 to 2147483647 x 65535 x 65535",
                       k.grid.x, k.grid.y, k.grid.z));
  const size_t most = k.from_sm_80 ? shared_limit : shared_limit_of_all;
  if (k.shared_bytes > most)
    refuse(fmt::format("{} bytes of dynamic shared memory are too much: every GPU from {} on can give {}",
                       k.shared_bytes, k.from_sm_80 ? "sm_80" : "sm_75", most));
}

}  // namespace

Options& options() {
  static Options instance{.deferred = std::getenv("FOVEA_SIM_DEFERRED") != nullptr};
  return instance;
}

unsigned current_thread() { return current; }
unsigned current_warp_count() { return block.warp_count[current / 32]; }
size_t dynamic_shared_bytes() { return kernel->shared_bytes; }
bool is_argument(const void* address) {
  return size_t(static_cast<const std::byte*>(address) - static_cast<const std::byte*>(kernel->arguments)) <
         kernel->argument_bytes;
}

void run(const Kernel& k) {
  if (inside) throw CudaError("[simulator] a kernel cannot launch another one");
  check_limits(k);
  const std::lock_guard lock(one_launch);
  const Unlocked unlocked;
  film_if_asked();
  kernel = &k;
  gridDim = {k.grid.x, k.grid.y, k.grid.z};
  blockDim = {k.block.x, k.block.y, k.block.z};
  scheduler = this_thread();
  fault.clear();
  epochs.launch = epochs.now = ++epochs.tick;
  for (Watcher* watcher : watchers) watcher->begin(k);
  inside = true;
  const size_t blocks = size_t(k.grid.x) * k.grid.y * k.grid.z;
  if (options().order == Order::forward) {
    for (size_t b = 0; b < blocks && fault.empty(); ++b) run_block(unsigned(b));
  } else {
    std::vector<unsigned> order;
    arrange(order, blocks);
    for (size_t b = 0; b < blocks && fault.empty(); ++b) run_block(order[b]);
  }
  inside = false;
  if (const size_t waiting = give_back_tickets(); waiting > 0 && fault.empty())
    fault = fmt::format(
        "[simulator] {} blocks have taken tickets, and none of them was the last: kernel {}, launched at {}",
        waiting, function_name(k.function), site(k.file, k.line));
  for (Watcher* watcher : watchers) watcher->end(fault);
  if (fault.empty()) return;
  fibers.made = 0;  // aborted fibers never resume
  fibers.idle.clear();
  throw CudaError(fault);
}

void watch(Watcher& watcher) {
  finish_all();
  const std::lock_guard lock(one_launch);
  watchers.push_back(&watcher);
}
void unwatch(Watcher& watcher) {
  finish_all();
  const std::lock_guard lock(one_launch);
  std::erase(watchers, &watcher);
}

#if defined(__SANITIZE_ADDRESS__)
namespace {
// The sanitizer's report ends the process: first print which thread of the grid it was.
[[maybe_unused]] const bool tells_thread = [] {
  __sanitizer_set_death_callback([] {
    if (!inside) return;
    const std::string text =
        fmt::format("[simulator] that was kernel {} (launched at {}), block {}, thread {}\n",
                    function_name(kernel->function), site(kernel->file, kernel->line), name(blockIdx),
                    thread_name(current));
    [[maybe_unused]] const auto written = write(STDERR_FILENO, text.data(), text.size());
  });
  return true;
}();
}  // namespace
#endif

void stop_kernel(const std::string& what, const std::string& where) {
  const std::string text =
      fmt::format("[simulator] {}: kernel {} (launched at {}), block {}, thread {}, at {}", what,
                  function_name(kernel->function), site(kernel->file, kernel->line), name(blockIdx),
                  thread_name(current), where);
  throw CudaError(text);
}

void* dynamic_shared_memory() {
  const SimulatorCode simulator;
  if (kernel->shared_bytes == 0)
    stop_kernel("the launch requested no dynamic shared memory", "dynamic_shared()");
  return shared_buffer();
}

uint64_t warp_operation(WarpOp op, unsigned mask, uint64_t value, int parameter, int width, const char* file,
                        int line) {
  const SimulatorCode simulator;
  const unsigned self = current, warp = self / 32, lane = self % 32, first = warp * 32;
  const unsigned n = unsigned(block.threads.size());
  const unsigned existing = n - first >= 32 ? 0xffffffffu : (1u << (n - first)) - 1;
  const auto refuse = [&](const std::string& what) { stop_kernel(what, site(file, line)); };
  if (!(mask >> lane & 1))
    refuse(fmt::format("bad mask: lane {} calls a warp operation with mask {:#010x}, which does not name it",
                       lane, mask));
  if (mask & ~existing)
    refuse(fmt::format("bad mask: {:#010x} names lanes that this warp of {} threads does not have", mask,
                       std::popcount(existing)));
  if (width < 1 || width > 32 || (width & (width - 1)))
    refuse(fmt::format("the width of a shuffle is {}: it must be 1, 2, 4, 8, 16 or 32", width));
  Thread& me = block.threads[self];
  me.state = State::in_warp_operation;
  me.file = file;
  me.line = line;
  me.op = op;
  me.mask = mask;
  me.value = value;
  me.parameter = parameter;
  me.width = width;
  unsigned waiting = 0;
  for (unsigned l = 0; l < 32; ++l) {
    if (!(mask >> l & 1)) continue;
    const Thread& other = block.threads[first + l];
    if (other.state == State::exited)
      refuse(fmt::format("bad mask: {:#010x} names lane {}, which has left the kernel", mask, l));
    if (other.state != State::in_warp_operation) continue;
    if (other.mask != mask || other.op != op)
      refuse(fmt::format(
          "lane {} waits at {} with mask {:#010x}, lane {} with mask {:#010x}: lanes that name each "
          "other must call one operation with one mask",
          l, site(other.file, other.line), other.mask, lane, mask));
    waiting |= 1u << l;
  }
  if (waiting != mask) {
    wait();
    return block.threads[self].result;
  }
  const bool of_matrices = op >= WarpOp::load_matrices;
  if (mask == existing && !of_matrices) ++block.warp_count[warp];
  if (of_matrices) {
    const MatrixLane* lanes[32];
    for (unsigned l = 0; l < 32; ++l)
      lanes[l] = reinterpret_cast<const MatrixLane*>(block.threads[first + l].value);
    work_on_matrices(op, lanes);
  }
  uint64_t ballot = 0;
  for (unsigned l = 0; l < 32; ++l)
    if (mask >> l & 1 && block.threads[first + l].value) ballot |= 1u << l;
  for (unsigned l = 0; l < 32; ++l) {
    if (!(mask >> l & 1)) continue;
    Thread& reader = block.threads[first + l];
    if (op == WarpOp::ballot || op == WarpOp::sync || of_matrices) {
      reader.result = ballot;
      continue;
    }
    const int begin = int(l) / reader.width * reader.width, end = begin + reader.width;
    int source = int(l);
    if (op == WarpOp::index) source = begin + (reader.parameter & (reader.width - 1));
    if (op == WarpOp::up) source = int(l) - reader.parameter < begin ? int(l) : int(l) - reader.parameter;
    if (op == WarpOp::down) source = int(l) + reader.parameter >= end ? int(l) : int(l) + reader.parameter;
    if (op == WarpOp::xor_) source = (int(l) ^ reader.parameter) >= end ? int(l) : int(l) ^ reader.parameter;
    if (mask >> source & 1) {
      reader.result = block.threads[first + unsigned(source)].value;
    } else {
      current = first + l;
      refuse(fmt::format("lane {} reads from lane {}, which mask {:#010x} does not name", l, source, mask));
    }
  }
  for (unsigned l = 32; l-- > 0;)
    if (mask >> l & 1 && l != lane) make_ready(first + l);
  me.state = State::running;
  return me.result;
}

}  // namespace fovea::sim

void __syncthreads(const char* file, int line) {
  using namespace fovea::sim;
  const SimulatorCode simulator;
  if (block.exited > 0) {
    unsigned gone = 0;
    while (block.threads[gone].state != State::exited) ++gone;
    const unsigned here = current;
    current = gone;
    stop_kernel(
        fmt::format("the thread has left the kernel before a barrier that thread {} waits at: let every "
                    "thread of the block reach it",
                    thread_name(here)),
        site(file, line));
  }
  if (block.in_barrier == 0) {
    block.barrier_file = file;
    block.barrier_line = line;
  } else if (block.barrier_line != line || std::strcmp(block.barrier_file, file) != 0) {
    stop_kernel(fmt::format("divergent barrier: other threads of the block wait at {}",
                            site(block.barrier_file, block.barrier_line)),
                site(file, line));
  }
  Thread& me = block.threads[current];
  me.state = State::in_barrier;
  me.file = file;
  me.line = line;
  if (++block.in_barrier < block.threads.size()) return wait();
  block.in_barrier = 0;
  epochs.now = ++epochs.tick;
  for (Watcher* watcher : watchers) watcher->barrier();
  me.state = State::running;
  for (size_t i = block.order.size(); i-- > 0;)
    if (block.order[i] != current) make_ready(block.order[i]);
}

void __syncwarp(unsigned mask, const char* file, int line) {
  fovea::sim::warp_operation(fovea::sim::WarpOp::sync, mask, 0, 0, 32, file, line);
}
