// Every load and store of a kernel is checked. Kernels are compiled with -fsanitize=thread, which makes the
// compiler call __tsan_read4(address) and its like before each access; this file provides these functions in
// place of the thread sanitizer's. They record which bytes are allocated, which were ever written, and which
// thread accessed each word since the last barrier.
#include <link.h>
#include <sys/mman.h>

#include <new>
#include <vector>

#include <fmt/format.h>

#include "cuda/sim/fiber.h"
#include "cuda/sim/simulator.h"
#include "cuda/sim/watcher.h"

namespace {
// For the code of a kernel that runs.
void tell_watchers(const fovea::sim::Access& access) {
  for (fovea::sim::Watcher* watcher : fovea::sim::watchers) watcher->access(access);
}
}  // namespace

#if !defined(__SANITIZE_THREAD__)

namespace fovea::sim {
namespace {

// The latest accesses to one 4-byte word, in ticks. `who` packs the thread (11 bits; from `several` on: more
// than one reader), the warp's count of synchronisations (17) and which of the four bytes (4).
struct Cell {
  uint32_t write_epoch, writer, read_epoch, reader;
};
constexpr uint32_t several = 1024;  // + warp: of one warp; several_warps: of more
constexpr uint32_t several_warps = 2047;

uint32_t pack(uint32_t thread, uint32_t warp_count, uint32_t mask) {
  return thread | (warp_count & 0x1FFFF) << 11 | mask << 28;
}
uint32_t thread_of(uint32_t who) { return who & 2047; }
uint32_t count_of(uint32_t who) { return who >> 11 & 0x1FFFF; }
uint32_t mask_of(uint32_t who) { return who >> 28; }
uint32_t warp_of(uint32_t thread) { return thread < several ? thread / 32 : thread - several; }

struct Region {
  uintptr_t begin = 0, bytes = 0;
  Cell* cells = nullptr;
};

Cell* reserve_cells(size_t bytes) {
  void* cells = mmap(nullptr, (bytes / 4 + 2) * sizeof(Cell), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (cells == MAP_FAILED) throw std::bad_alloc();
  return static_cast<Cell*>(cells);
}

struct Regions {
  Region global, shared;
  std::vector<Region> statics;    // writable data of the program: what a kernel uses of it is __shared__
  std::vector<Region> constants;  // read-only data

  Regions() {
    global = {uintptr_t(arena().base), arena().bytes, reserve_cells(arena().bytes)};
    shared = {uintptr_t(shared_buffer()), shared_limit, reserve_cells(shared_limit)};
    dl_iterate_phdr(
        [](dl_phdr_info* info, size_t, void* data) {
          auto& self = *static_cast<Regions*>(data);
          for (int i = 0; i < info->dlpi_phnum; ++i) {
            const auto& s = info->dlpi_phdr[i];
            if (s.p_type != PT_LOAD) continue;
            Region region{(info->dlpi_addr + s.p_vaddr) & ~uintptr_t(3), s.p_memsz + 3, nullptr};
            if (!(s.p_flags & PF_W)) {
              self.constants.push_back(region);
            } else {
              region.cells = reserve_cells(region.bytes);
              self.statics.push_back(region);
            }
          }
          return 0;
        },
        this);
  }
};

Regions& regions() {
  static Regions* const instance = new Regions;
  return *instance;
}

// Whether the order of an earlier access and one by this thread now is undefined.
bool unordered(uint32_t epoch, uint32_t who, bool is_shared, uint32_t self, uint32_t warp_count) {
  if (epoch < epochs.launch) return false;
  if (epoch < epochs.block)  // another block of this launch
    return !is_shared && !is_published(epoch, thread_of(who));
  if (epoch < epochs.now) return false;  // a barrier lies between
  const uint32_t thread = thread_of(who);
  if (thread == self) return false;
  return thread == several_warps || warp_of(thread) != self / 32 || count_of(who) == (warp_count & 0x1FFFF);
}

std::string describe(uint32_t epoch, uint32_t who, const char* did) {
  if (epoch < epochs.block) return fmt::format("another block {} it", did);
  const uint32_t thread = thread_of(who);
  if (thread >= several) return "several threads read it";  // only readers are ever several
  return fmt::format("thread {} of the block {} it", thread, did);
}

void check_word(Cell& cell, uint32_t mask, bool write, bool is_shared, void* from) {
  const uint32_t self = current_thread(), warp_count = current_warp_count();
  const char* space = is_shared ? "shared" : "global";
  if (mask_of(cell.writer) & mask && unordered(cell.write_epoch, cell.writer, is_shared, self, warp_count))
    stop_kernel(
        fmt::format("race: the thread {} a word of {} memory, {}, and there is no barrier between",
                    write ? "writes" : "reads", space, describe(cell.write_epoch, cell.writer, "writes")),
        source_line(from));
  if (write && mask_of(cell.reader) & mask &&
      unordered(cell.read_epoch, cell.reader, is_shared, self, warp_count))
    stop_kernel(
        fmt::format("race: the thread writes a word of {} memory, {}, and there is no barrier between", space,
                    describe(cell.read_epoch, cell.reader, "reads")),
        source_line(from));
  if (write) {
    const bool mine = cell.write_epoch >= epochs.now && thread_of(cell.writer) == self;
    cell.writer = pack(self, warp_count, mask | (mine ? mask_of(cell.writer) : 0));
    cell.write_epoch = epochs.tick;
    return;
  }
  uint32_t reader = self;
  if (cell.read_epoch >= epochs.now) {
    const uint32_t before = thread_of(cell.reader), both = mask & mask_of(cell.reader);
    // One cell stores one set of bytes: for two readers those that both have read, otherwise the later one's.
    if (before == self) {
      mask |= mask_of(cell.reader);
    } else if (both) {
      mask = both;
      const bool same_warp = before != several_warps && warp_of(before) == self / 32;
      reader = same_warp && count_of(cell.reader) == (warp_count & 0x1FFFF) ? several + self / 32
               : same_warp                                                  ? self
                                                                            : several_warps;
    }
  }
  cell.reader = pack(reader, warp_count, mask);
  cell.read_epoch = epochs.tick;
}

void check_words(const Region& region, uintptr_t address, size_t size, bool write, bool is_shared,
                 void* from) {
  uintptr_t at = address - region.begin;
  while (size > 0) {
    const size_t offset = at % 4, part = size < 4 - offset ? size : 4 - offset;
    check_word(region.cells[at / 4], uint32_t(((1u << part) - 1) << offset), write, is_shared, from);
    at += part;
    size -= part;
  }
}

void check_shared(const Region& region, uintptr_t address, size_t size, bool write, void* from) {
  if (!write && options().check_memory &&
      region.cells[(address - region.begin) / 4].write_epoch < epochs.block)
    stop_kernel("read of uninitialised shared memory: no thread of this block has written it",
                source_line(from));
  // Writes are recorded even if races are not checked.
  if (options().check_races || write) check_words(region, address, size, write, true, from);
}

void check_global(uintptr_t address, size_t size, bool write, void* from) {
  tell_watchers({address, size, write ? Access::write : Access::read, false, from});
  const Region& region = regions().global;
  uint8_t* state = arena().state + (address - region.begin);
  if (options().check_memory) {
    for (size_t i = 0; i < size; ++i) {
      if (state[i] == initialised) continue;
      if (state[i] == not_allocated)
        stop_kernel(
            fmt::format("out of bounds: {} of {} bytes at {}, where no device memory is allocated",
                        write ? "a write" : "a read", size, fmt::ptr(reinterpret_cast<void*>(address))),
            source_line(from));
      if (!write)
        stop_kernel(
            "read of uninitialised device memory: nothing has been written there since it was allocated",
            source_line(from));
    }
  }
  if (write)
    for (size_t i = 0; i < size; ++i) state[i] = initialised;
  if (options().check_races) check_words(region, address, size, write, false, from);
}

void check(void* pointer, size_t size, bool write, void* from) {
  const SimulatorCode simulator;
  const auto address = uintptr_t(pointer);
  Regions& r = regions();
  if (address - r.global.begin < r.global.bytes) return check_global(address, size, write, from);
  if (on_fiber_stack(pointer) || is_argument(pointer)) return;
  const Access shared{address, size, write ? Access::write : Access::read, true, from};
  if (address - r.shared.begin < r.shared.bytes) {
    tell_watchers(shared);
    if (address + size > r.shared.begin + dynamic_shared_bytes())
      stop_kernel(fmt::format("out of bounds: {} at byte {} of {} bytes of dynamic shared memory",
                              write ? "a write" : "a read", address - r.shared.begin, dynamic_shared_bytes()),
                  source_line(from));
    return check_shared(r.shared, address, size, write, from);
  }
  for (const Region& region : r.statics)
    if (address - region.begin < region.bytes) {
      tell_watchers(shared);
      return check_shared(region, address, size, write, from);
    }
  if (!write)
    for (const Region& region : r.constants)
      if (address - region.begin < region.bytes) return;
  stop_kernel(
      fmt::format("out of bounds: {} of host memory at {}", write ? "a write" : "a read", fmt::ptr(pointer)),
      source_line(from));
}

}  // namespace
}  // namespace fovea::sim

// Weak: a program that is itself built with the thread sanitizer keeps that one's. The names are the
// compiler's: NOLINTBEGIN(bugprone-reserved-identifier)
#define FOVEA_SIM_HOOK(name, size, write)                                                                 \
  extern "C" __attribute__((weak)) void __tsan_##name(void* address) {                                    \
    if (fovea::sim::in_kernel_code) fovea::sim::check(address, size, write, __builtin_return_address(0)); \
  }
FOVEA_SIM_HOOK(read1, 1, false)
FOVEA_SIM_HOOK(read2, 2, false)
FOVEA_SIM_HOOK(read4, 4, false)
FOVEA_SIM_HOOK(read8, 8, false)
FOVEA_SIM_HOOK(read16, 16, false)
FOVEA_SIM_HOOK(write1, 1, true)
FOVEA_SIM_HOOK(write2, 2, true)
FOVEA_SIM_HOOK(write4, 4, true)
FOVEA_SIM_HOOK(write8, 8, true)
FOVEA_SIM_HOOK(write16, 16, true)
FOVEA_SIM_HOOK(unaligned_read2, 2, false)
FOVEA_SIM_HOOK(unaligned_read4, 4, false)
FOVEA_SIM_HOOK(unaligned_read8, 8, false)
FOVEA_SIM_HOOK(unaligned_read16, 16, false)
FOVEA_SIM_HOOK(unaligned_write2, 2, true)
FOVEA_SIM_HOOK(unaligned_write4, 4, true)
FOVEA_SIM_HOOK(unaligned_write8, 8, true)
FOVEA_SIM_HOOK(unaligned_write16, 16, true)
#undef FOVEA_SIM_HOOK
extern "C" __attribute__((weak)) void __tsan_read_range(void* address, size_t size) {
  if (fovea::sim::in_kernel_code) fovea::sim::check(address, size, false, __builtin_return_address(0));
}
extern "C" __attribute__((weak)) void __tsan_write_range(void* address, size_t size) {
  if (fovea::sim::in_kernel_code) fovea::sim::check(address, size, true, __builtin_return_address(0));
}
// The host's own code in a .cu file calls these for smart pointers and local statics.
extern "C" __attribute__((weak)) int __tsan_atomic32_fetch_add(volatile int* address, int value, int) {
  return __atomic_fetch_add(address, value, __ATOMIC_ACQ_REL);
}
extern "C" __attribute__((weak)) int __tsan_atomic32_fetch_sub(volatile int* address, int value, int) {
  return __atomic_fetch_sub(address, value, __ATOMIC_ACQ_REL);
}
extern "C" __attribute__((weak)) unsigned char __tsan_atomic8_load(const volatile unsigned char* address,
                                                                   int) {
  return __atomic_load_n(address, __ATOMIC_ACQUIRE);
}
extern "C" __attribute__((weak)) void __tsan_init() {}
extern "C" __attribute__((weak)) void __tsan_func_entry(void*) {}
extern "C" __attribute__((weak)) void __tsan_func_exit() {}
extern "C" __attribute__((weak)) void __tsan_vptr_update(void**, void*) {}
extern "C" __attribute__((weak)) void __tsan_vptr_read(void**) {}
// NOLINTEND(bugprone-reserved-identifier)

#endif

// Atomics do not go through those hooks: they may access one word at once.
namespace {
template <class T, class F>
T atomically(T* address, F&& f) {
  using namespace fovea::sim;
  const SimulatorCode simulator;
  const auto offset = uintptr_t(address) - uintptr_t(arena().base);
  if (offset < arena().bytes) {
    const std::string fault = range_fault(address, sizeof(T));
    if (!fault.empty())
      stop_kernel("out of bounds: an atomic; " + fault, source_line(__builtin_return_address(0)));
  }
  tell_watchers(
      {uintptr_t(address), sizeof(T), Access::atomic, offset >= arena().bytes, __builtin_return_address(0)});
  const T before = *address;
  *address = f(before);
  if (offset < arena().bytes) mark_initialised(address, sizeof(T));
  return before;
}
}  // namespace

int atomicAdd(int* address, int value) {
  return atomically(address, [=](int x) { return x + value; });
}
unsigned atomicAdd(unsigned* address, unsigned value) {
  return atomically(address, [=](unsigned x) { return x + value; });
}
unsigned atomicInc(unsigned* address, unsigned most) {
  const unsigned before = atomically(address, [=](unsigned x) { return x >= most ? 0 : x + 1; });
  const fovea::sim::SimulatorCode simulator;
  fovea::sim::take_ticket(address, before >= most);
  return before;
}
int atomicMax(int* address, int value) {
  return atomically(address, [=](int x) { return x > value ? x : value; });
}
int atomicMin(int* address, int value) {
  return atomically(address, [=](int x) { return x < value ? x : value; });
}
unsigned atomicOr(unsigned* address, unsigned value) {
  return atomically(address, [=](unsigned x) { return x | value; });
}
int atomicCAS(int* address, int compare, int value) {
  return atomically(address, [=](int x) { return x == compare ? value : x; });
}
