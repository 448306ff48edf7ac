#pragma once
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "cuda/platform.h"

// The device: its runtime, and the functions that launch kernels, which take pointers and sizes.
namespace fovea::cuda {

// How a kernel is launched, and from where in the source, for the message of check().
struct LaunchConfig {
  dim3 grid, block;
  size_t shared_bytes;
  const char* file;
  int line;
  bool from_sm_80 = false;  // see for_sm_80()
  int64_t bytes = -1;       // see moves()
  int64_t steps = 0;  // of a thread's main loop, at most; 0 if they follow from the bytes: for predictions
  LaunchConfig(dim3 grid_, dim3 block_, size_t shared_bytes_ = 0, const char* file_ = __builtin_FILE(),
               int line_ = __builtin_LINE())
      : grid(grid_), block(block_), shared_bytes(shared_bytes_), file(file_), line(line_) {}
  // From a description that has these three, such as ColumnGrid (cuda/device/columns.h).
  template <class Grid>
  requires requires(const Grid& g) { g.grid(), g.block(), g.steps(); }
  LaunchConfig(const Grid& g, size_t shared_bytes_ = 0, const char* file_ = __builtin_FILE(),
               int line_ = __builtin_LINE())
      : grid(g.grid()),
        block(g.block()),
        shared_bytes(shared_bytes_),
        file(file_),
        line(line_),
        steps(g.steps()) {}

  // Only GPUs of compute capability 8.0 and later can run the kernel, so it may have 99 KB of shared memory
  // rather than 64: the simulator refuses more than all of them have.
  LaunchConfig for_sm_80() const {
    LaunchConfig result = *this;
    result.from_sm_80 = true;
    return result;
  }

  // For profiles (profile.h), if the bytes that the kernel reads and writes are not those of the buffers that
  // its arguments point to: it needs a part of them, or finds them through a table on the device.
  LaunchConfig moves(int64_t count) const {
    LaunchConfig result = *this;
    result.bytes = count;
    return result;
  }
};

// For launch(): the kernel, a way to call it with the values that `arguments` points to, and their total
// size.
struct KernelCall {
  const void* kernel;
  void** pointers;  // to each argument
  void* arguments;  // a tuple
  size_t argument_bytes;
  void (*invoke)(const void* kernel, void* arguments);  // simulator: one thread
  // The arguments that can be or hold pointers, without padding: for bytes_of_buffers().
  std::vector<void*> (*words)(const void* arguments);
  void* (*copy)(const void* arguments);
  void (*destroy)(void* arguments);
};
void launch_kernel(const LaunchConfig& config, const KernelCall& call);

// Appends an argument's words if it is a pointer or a struct: a number may look like an address. So may a
// flag with what happens to be in the padding after it, which is cleared where the compiler can.
template <class T>
void append_words(std::vector<void*>& words, T argument) {
  if constexpr (std::is_pointer_v<T> || std::is_class_v<T>) {
#if __has_builtin(__builtin_clear_padding)
    __builtin_clear_padding(&argument);
#endif
    const size_t first = words.size();
    words.resize(first + sizeof(T) / sizeof(void*));
    std::memcpy(words.data() + first, &argument, sizeof(T) / sizeof(void*) * sizeof(void*));
  }
}

// Runs a __global__ function on the current stream (stream.h): launch(add_kernel<float>, {grid, block}, x, y,
// n). The only way to launch: it checks the configuration, converts the arguments to the kernel's parameter
// types, opts in to more than 48 KB of shared memory and reports errors with kernel and call site. Throws
// CudaError. A grid of no blocks is no launch: an op on an empty tensor needs no special case.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), LaunchConfig config, Arguments&&... arguments) {
  static_assert(sizeof...(Parameters) == sizeof...(Arguments),
                "the kernel takes another number of arguments");
  if (config.grid.x == 0 || config.grid.y == 0 || config.grid.z == 0) return;
  using Values = std::tuple<Parameters...>;
  Values values(std::forward<Arguments>(arguments)...);
  KernelCall call{};
  call.kernel = reinterpret_cast<const void*>(kernel);
  call.arguments = &values;
  call.argument_bytes = sizeof values;
  call.words = [](const void* tuple) {
    std::vector<void*> words;
    std::apply([&](const auto&... value) { (append_words(words, value), ...); },
               *static_cast<const Values*>(tuple));
    return words;
  };
#ifdef FOVEA_SIM
  call.invoke = [](const void* function, void* tuple) {
    [&]<size_t... I>(std::index_sequence<I...>) {
      reinterpret_cast<void (*)(Parameters...)>(const_cast<void*>(function))(
          std::get<I>(*static_cast<Values*>(tuple))...);
    }
    (std::index_sequence_for<Parameters...>());
  };
  call.copy = [](const void* from) -> void* { return new Values(*static_cast<const Values*>(from)); };
  call.destroy = [](void* copy) { delete static_cast<Values*>(copy); };
  launch_kernel(config, call);
#else
  std::apply(
      [&](auto&... value) {
        void* pointers[] = {const_cast<void*>(static_cast<const void*>(&value))..., nullptr};
        call.pointers = pointers;
        launch_kernel(config, call);
      },
      values);
#endif
}

}  // namespace fovea::cuda
