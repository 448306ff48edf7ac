#pragma once
#include <cstddef>

namespace fovea::sim {

// A flow of control with its own stack, on the one thread of the operating system: it stands for a CUDA
// thread. A switch saves the registers that a function call must preserve and loads those of the other side;
// it costs a few nanoseconds (swapcontext makes a system call instead).
struct Context {
  void* stack_pointer = nullptr;  // where the registers were saved
  // For the address sanitizer, which tracks whose stack is in use:
  const void* stack = nullptr;
  size_t stack_bytes = 0;
  void* fake_stack = nullptr;
};

inline constexpr size_t fiber_stack_bytes = size_t(128) << 10;
inline constexpr int max_fibers = 1024;  // per block

// The stack of fiber i. All are in one region, so that an access can be recognised as local.
std::byte* fiber_stack(int i);
bool on_fiber_stack(const void* address);

// A context that begins in entry() on fiber i's stack; whatever ran there before is discarded.
Context new_fiber(int i, void (*entry)());

// The context of the calling thread, to return to.
Context this_thread();

// Saves the current flow in `from` and continues with `to`.
void switch_to(Context& from, Context& to);
void arrived(Context& self);  // the first thing that entry() must call

}  // namespace fovea::sim
