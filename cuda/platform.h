#pragma once
// Lets two compilers read a kernel's source unchanged: nvcc, for GPUs, and the host compiler, for the
// simulator (FOVEA_SIM), which runs the grid on the CPU. Host code that calls the CUDA runtime also includes
// this file, and gets the toolkit's header or the simulator's. cublaslt.h does the same for the library of
// products. Kernels never check which it is; a few functions of runtime/ and device/ do.
#include "cuda/device/host_device.h"

#define HD FOVEA_HOST_DEVICE

#ifdef FOVEA_SIM
#include "cuda/sim/runtime_api.h"
#include "cuda/sim/sim.h"
#else
#include <cuda_runtime.h>

// The dynamic shared memory of a launch, 16-byte aligned: its size is LaunchConfig::shared_bytes.
template <class T>
__device__ inline T* dynamic_shared() {
#ifdef __CUDA_ARCH__
  extern __shared__ __align__(16) unsigned char fovea_dynamic_shared[];
  return reinterpret_cast<T*>(fovea_dynamic_shared);
#else
  return nullptr;
#endif
}

// Only the simulator needs these: they report that a block of a pool is in use, with its bytes, and that it
// is free.
inline void tell_simulator_allocated(void*, size_t) {}
inline void tell_simulator_freed(void*, size_t) {}
#endif
