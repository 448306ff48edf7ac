#pragma once
// CUDA C++ for the host compiler: the words and functions a kernel may use. cuda/sim/README.md describes the
// intended differences from a GPU. The names are CUDA's: NOLINTBEGIN(bugprone-reserved-identifier)
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "cuda/device/host_device.h"

#define __global__
#define __host__
#define __device__ FOVEA_HOST_DEVICE
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
// One block runs at a time, so its shared memory can be a plain static: gdb shows it and sanitizers check it.
// This requires kernels to be in an anonymous namespace.
#define __shared__ static

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

// Constant while a CUDA thread runs, hence const; the scheduler sets them at each switch. They are plain
// globals, so that `break kernel.cu:11 if threadIdx.x == 37` works.
extern const uint3 threadIdx, blockIdx;
extern const uint3 blockDim,
    gridDim;  // not dim3: its constructor would make the compiler doubt that they are constant
inline constexpr int warpSize = 32;

// Where in the source a kernel waits: two barriers on one line look the same, so write one per line.
#define FOVEA_SIM_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

void __syncthreads(FOVEA_SIM_SITE);
void __syncwarp(unsigned mask = 0xffffffffu, FOVEA_SIM_SITE);
void __threadfence();

namespace fovea::sim {
enum class WarpOp : uint8_t { sync, index, up, down, xor_, ballot, load_matrices, load_turned, multiply_add };
// Waits until all lanes named by the mask have called it with the same mask and operation; returns this
// lane's result.
uint64_t warp_operation(WarpOp op, unsigned mask, uint64_t value, int parameter, int width, const char* file,
                        int line);

template <class T>
T shuffle(WarpOp op, unsigned mask, T value, int parameter, int width, const char* file, int line) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "a shuffle moves 4 or 8 bytes");
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = warp_operation(op, mask, bits, parameter, width, file, line);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// A lane's part in one of the last three operations, which take all 32 lanes (cuda/device/sm_80.h): its parts
// of the matrices and of the result.
struct MatrixLane {
  const void *a, *b;
  void* result;
};
inline void matrix_operation(WarpOp op, const MatrixLane& lane, FOVEA_SIM_SITE) {
  warp_operation(op, 0xffffffffu, reinterpret_cast<uint64_t>(&lane), 0, 32, file, line);
}
void* dynamic_shared_memory();
}  // namespace fovea::sim

template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32, FOVEA_SIM_SITE) {
  return fovea::sim::shuffle(fovea::sim::WarpOp::index, mask, value, lane, width, file, line);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, FOVEA_SIM_SITE) {
  return fovea::sim::shuffle(fovea::sim::WarpOp::up, mask, value, int(delta), width, file, line);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, FOVEA_SIM_SITE) {
  return fovea::sim::shuffle(fovea::sim::WarpOp::down, mask, value, int(delta), width, file, line);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32, FOVEA_SIM_SITE) {
  return fovea::sim::shuffle(fovea::sim::WarpOp::xor_, mask, value, lane_mask, width, file, line);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, FOVEA_SIM_SITE) {
  return unsigned(
      fovea::sim::warp_operation(fovea::sim::WarpOp::ballot, mask, predicate != 0, 0, 32, file, line));
}
inline int __any_sync(unsigned mask, int predicate, FOVEA_SIM_SITE) {
  return __ballot_sync(mask, predicate, file, line) != 0;
}
inline int __all_sync(unsigned mask, int predicate, FOVEA_SIM_SITE) {
  return __ballot_sync(mask, predicate, file, line) == mask;
}

// For integers only: an atomic float sum would depend on the order of the threads, which must not matter.
int atomicAdd(int* address, int value);
unsigned atomicAdd(unsigned* address, unsigned value);
unsigned atomicInc(unsigned* address, unsigned most);  // from `most` to 0; see cuda/device/last_block.h
int atomicMax(int* address, int value);
int atomicMin(int* address, int value);
unsigned atomicOr(unsigned* address, unsigned value);
int atomicCAS(int* address, int compare, int value);

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }

template <class T>
T* dynamic_shared() {
  return static_cast<T*>(fovea::sim::dynamic_shared_memory());
}
// NOLINTEND(bugprone-reserved-identifier)
