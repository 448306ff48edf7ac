#include "cuda/sim/fiber.h"

#include <pthread.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if !defined(__x86_64__) && !defined(__aarch64__)
#include <ucontext.h>
#endif

namespace fovea::sim {
namespace {

std::byte* stacks() {
  static std::byte* const region = [] {
    void* pages = mmap(nullptr, max_fibers * fiber_stack_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED) throw std::bad_alloc();
    return static_cast<std::byte*>(pages);
  }();
  return region;
}

}  // namespace

std::byte* fiber_stack(int i) { return stacks() + size_t(i) * fiber_stack_bytes; }

bool on_fiber_stack(const void* address) {
  return uintptr_t(address) - uintptr_t(stacks()) < max_fibers * fiber_stack_bytes;
}

#if defined(__x86_64__)
// System V calling convention: a function keeps rbx, rbp, r12 to r15 and the stack pointer.
extern "C" void fovea_sim_switch(void** save, void* load);
asm(R"(
.text
.globl fovea_sim_switch
.type fovea_sim_switch, @function
fovea_sim_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size fovea_sim_switch, .-fovea_sim_switch
)");

static void* first_frame(std::byte* stack, void (*entry)()) {
  // Six registers, the address that `ret` jumps to, and a return address of 0, at which debuggers stop
  // unwinding.
  void** top = reinterpret_cast<void**>(stack + fiber_stack_bytes -
                                        72);  // as after a call: 8 more than a multiple of 16
  top[0] = nullptr;
  top[-1] = reinterpret_cast<void*>(entry);
  for (int i = 2; i <= 7; ++i) top[-i] = nullptr;
  return top - 7;
}
#elif defined(__aarch64__)
// AAPCS64: a function keeps x19 to x29, the link register, d8 to d15 and the stack pointer.
extern "C" void fovea_sim_switch(void** save, void* load);
asm(R"(
.text
.globl fovea_sim_switch
.type fovea_sim_switch, %function
fovea_sim_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size fovea_sim_switch, .-fovea_sim_switch
)");

static void* first_frame(std::byte* stack, void (*entry)()) {
  void** frame = reinterpret_cast<void**>(stack + fiber_stack_bytes - 64 - 160);
  for (int i = 0; i < 20; ++i) frame[i] = nullptr;
  frame[11] = reinterpret_cast<void*>(entry);  // the link register
  return frame;
}
#else
// Elsewhere the C library does it. The context is at the low end of its own stack.
static void fovea_sim_switch(void** save, void* load) {
  ucontext_t here;
  *save = &here;
  swapcontext(&here, static_cast<ucontext_t*>(load));
}
static void* first_frame(std::byte* stack, void (*entry)()) {
  auto* context = new (stack) ucontext_t;
  getcontext(context);
  context->uc_stack.ss_sp = stack + sizeof(ucontext_t) + 64;
  context->uc_stack.ss_size = fiber_stack_bytes - sizeof(ucontext_t) - 64;
  context->uc_link = nullptr;
  makecontext(context, entry, 0);
  return context;
}
#endif

Context new_fiber(int i, void (*entry)()) {
  std::byte* stack = fiber_stack(i);
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(stack, fiber_stack_bytes);  // frames left by an aborted kernel
#endif
  return {first_frame(stack, entry), stack, fiber_stack_bytes, nullptr};
}

void switch_to(Context& from, Context& to) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&from.fake_stack, to.stack, to.stack_bytes);
#endif
  fovea_sim_switch(&from.stack_pointer, to.stack_pointer);
  arrived(from);
}

void arrived([[maybe_unused]] Context& self) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(self.fake_stack, nullptr, nullptr);
#endif
}

Context this_thread() {
  thread_local const Context self = [] {
    pthread_attr_t attributes;
    void* stack = nullptr;
    size_t bytes = 0;
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
      pthread_attr_getstack(&attributes, &stack, &bytes);
      pthread_attr_destroy(&attributes);
    }
    return Context{nullptr, stack, bytes, nullptr};
  }();
  return self;
}

}  // namespace fovea::sim
