// The simulated device's memory: one region of addresses, with a state for each byte. The host cannot access
// it except during launches and copies.
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>

#include <fmt/format.h>

#include "cuda/runtime/error.h"
#include "cuda/sim/buffers.h"
#include "cuda/sim/capture.h"
#include "cuda/sim/queue.h"
#include "cuda/sim/runtime_api.h"
#include "cuda/sim/simulator.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

namespace fovea::sim {
namespace {

constexpr size_t reserved = size_t(64) << 30;  // addresses; pages are allocated when they are touched
constexpr size_t alignment = 256, gap = 256;   // as cudaMalloc aligns; and unallocated bytes after each block
constexpr size_t page = 4096;

void* reserve(size_t bytes, int protection) {
  void* region = mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (region == MAP_FAILED) throw std::bad_alloc();
  return region;
}

size_t memory_limit() {
  const char* text = std::getenv("FOVEA_SIM_MEMORY_MB");
  return text ? size_t(std::atoll(text)) << 20 : size_t(2) << 30;
}

struct Memory {
  std::recursive_mutex mutex;
  Arena arena;
  std::map<std::byte*, size_t> blocks;  // allocated by cudaMalloc
  size_t in_use = 0, limit = memory_limit();
  std::byte* top = nullptr;  // no block is beyond it
  int unlocked = 0;
  size_t left_open = 0;
  bool closed = true;
  std::byte* shared = nullptr;

  Memory() {
    arena.base = static_cast<std::byte*>(reserve(reserved, PROT_NONE));
    arena.bytes = reserved;
    arena.state = static_cast<uint8_t*>(reserve(reserved, PROT_READ | PROT_WRITE));
    shared = static_cast<std::byte*>(reserve(shared_limit + page, PROT_READ | PROT_WRITE));
    top = arena.base;
  }

  void protect(int protection) {
    const size_t bytes = (size_t(top - arena.base) + page - 1) / page * page;
    if (bytes > 0 && mprotect(arena.base, bytes, protection) != 0) throw std::bad_alloc();
    closed = protection == PROT_NONE;
  }

  // Closing takes the system time for each page, and training launches thousands of kernels: the more memory
  // there is, the less often it is done; up to 64 KB it is always done.
  void close() {
    left_open += 64 << 10;
    if (size_t(top - arena.base) > left_open) return;
    left_open = 0;
    protect(PROT_NONE);
  }
};

// A host that reads device memory gets a signal. On a machine with a GPU it would as well, or would read
// something else.
struct sigaction previous_action;
Memory& memory();

// The address after the failing instruction, like a return address.
void* instruction(void* context) {
  [[maybe_unused]] const auto& machine = static_cast<ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
  return reinterpret_cast<void*>(machine.gregs[REG_RIP] + 1);
#elif defined(__aarch64__)
  return reinterpret_cast<void*>(machine.pc + 1);
#else
  return nullptr;
#endif
}

void on_fault(int signal, siginfo_t* info, void* context) {
  const auto* address = static_cast<std::byte*>(info->si_addr);
  if (address >= memory().arena.base && address < memory().arena.base + reserved) {
    const std::string text = fmt::format(
        "[simulator] the host touched device memory at {}, in {}: copy it to the host first "
        "(Tensor::to(Device::cpu))\n",
        fmt::ptr(info->si_addr), source_line(instruction(context)));
    [[maybe_unused]] const auto written = write(STDERR_FILENO, text.data(), text.size());
  }
  if (previous_action.sa_flags & SA_SIGINFO && previous_action.sa_sigaction)
    return previous_action.sa_sigaction(signal, info, context);
  sigaction(signal, &previous_action, nullptr);  // returns to the same instruction, and dies as it would have
}

Memory& memory() {
  static Memory* const instance = [] {
    auto* made = new Memory;
    install_fault_report();
    return made;
  }();
  return *instance;
}

// Signalling NaN in float32 and bfloat16; a huge number in float64; nonsense as an integer.
void fill_with_nan(std::byte* pointer, size_t bytes) {
  constexpr uint64_t pattern = 0x7FA07FA07FA07FA0;
  size_t i = 0;
  for (; i + sizeof pattern <= bytes; i += sizeof pattern) std::memcpy(pointer + i, &pattern, sizeof pattern);
  std::memcpy(pointer + i, &pattern, bytes - i);
}

}  // namespace

const Arena& arena() { return memory().arena; }
std::byte* shared_buffer() { return memory().shared; }

void install_fault_report() {
  struct sigaction action = {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGSEGV, &action, &previous_action);
}

void prepare_shared(size_t bytes) { fill_with_nan(memory().shared, bytes); }

Unlocked::Unlocked() {
  Memory& m = memory();
  m.mutex.lock();
  if (m.unlocked++ == 0 && m.closed) m.protect(PROT_READ | PROT_WRITE);
}
Unlocked::~Unlocked() {
  Memory& m = memory();
  if (--m.unlocked == 0) m.close();
  m.mutex.unlock();
}

std::string range_fault(const void* pointer, size_t bytes) {
  const Arena& a = memory().arena;
  const size_t offset = size_t(static_cast<const std::byte*>(pointer) - a.base);
  if (bytes == 0) return "";
  if (offset >= a.bytes) return fmt::format("{} is not an address of device memory", fmt::ptr(pointer));
  const uint8_t* gone = static_cast<const uint8_t*>(std::memchr(a.state + offset, not_allocated, bytes));
  if (!gone) return "";
  return fmt::format("byte {} of {} bytes at {} is not allocated", gone - (a.state + offset), bytes,
                     fmt::ptr(pointer));
}

void mark_initialised(void* pointer, size_t bytes) {
  std::memset(arena().state + (static_cast<std::byte*>(pointer) - arena().base), initialised, bytes);
}

}  // namespace fovea::sim

using namespace fovea::sim;

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  Memory& m = memory();
  const std::lock_guard lock(m.mutex);
  *pointer = nullptr;
  const size_t size = (std::max<size_t>(bytes, 1) + alignment - 1) / alignment * alignment;
  if (m.in_use + size > m.limit) return cudaErrorMemoryAllocation;
  // Finds the first gap that is large enough.
  std::byte* at = m.arena.base;
  for (const auto& [block, length] : m.blocks) {
    if (size_t(block - at) >= size + gap) break;
    at = block + (length + gap + alignment - 1) / alignment * alignment;
  }
  if (size_t(at - m.arena.base) + size + gap > m.arena.bytes) return cudaErrorMemoryAllocation;
  const Unlocked unlocked;
  if (at + size > m.top) {
    ASAN_POISON_MEMORY_REGION(m.top, size_t(at + size + gap - m.top));
    m.top = at + size;
    m.protect(PROT_READ | PROT_WRITE);
  }
  m.blocks.emplace(at, size);
  m.in_use += size;
  *pointer = at;
  tell_simulator_allocated(at, std::max<size_t>(bytes, 1));
  return cudaSuccess;
}

cudaError_t cudaFree(void* pointer) {
  if (!pointer) return cudaSuccess;
  finish_all();  // as on a GPU, it first waits for the work that may still use it
  Memory& m = memory();
  const std::lock_guard lock(m.mutex);
  const auto found = m.blocks.find(static_cast<std::byte*>(pointer));
  if (found == m.blocks.end()) return cudaErrorInvalidValue;
  m.in_use -= found->second;
  tell_simulator_freed(pointer, found->second);
  // Its pages are returned to the system.
  {
    const Unlocked unlocked;
    const auto first = (uintptr_t(pointer) + page - 1) / page * page,
               last = (uintptr_t(pointer) + found->second) / page * page;
    if (last > first) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
  }
  m.blocks.erase(found);
  // Memory beyond the last block is closed for good.
  const Unlocked unlocked;
  std::byte* top = m.arena.base;
  if (!m.blocks.empty()) top = m.blocks.rbegin()->first + m.blocks.rbegin()->second;
  const size_t keep = (size_t(top - m.arena.base) + page - 1) / page * page,
               all = (size_t(m.top - m.arena.base) + page - 1) / page * page;
  if (all > keep) mprotect(m.arena.base + keep, all - keep, PROT_NONE);
  m.top = top;
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  Memory& m = memory();
  const std::lock_guard lock(m.mutex);
  *total = m.limit;
  *free = m.limit - m.in_use;
  return cudaSuccess;
}

// While a graph is captured, what a pool does is part of it: in a replay each block is allocated between the
// requests that took it and returned it. A deferred device goes through the same in its own time.
void tell_simulator_allocated(void* pointer, size_t bytes) {
  if (postponed([=] { tell_simulator_allocated(pointer, bytes); })) return;
  const Unlocked unlocked;
  const auto* at = static_cast<std::byte*>(pointer);
  ASAN_UNPOISON_MEMORY_REGION(pointer, bytes);
  fill_with_nan(static_cast<std::byte*>(pointer), bytes);
  std::memset(arena().state + (at - arena().base), uninitialised, bytes);
  add_buffer(pointer, bytes);
}

void tell_simulator_freed(void* pointer, size_t bytes) {
  if (postponed([=] { tell_simulator_freed(pointer, bytes); })) return;
  const auto* at = static_cast<std::byte*>(pointer);
  std::memset(arena().state + (at - arena().base), not_allocated, bytes);
  remove_buffers(pointer, bytes);
  ASAN_POISON_MEMORY_REGION(pointer, bytes);
}
