#pragma once
// FOVEA_HOST_DEVICE marks a function that both the CPU and kernels run. It is not in cuda/platform.h, which
// brings the names of CUDA itself (dim3, __shared__, ...): headers that the library's users include get only
// this macro.
#if defined(__CUDACC__)
#define FOVEA_HOST_DEVICE __host__ __device__
#elif defined(__SANITIZE_THREAD__) && defined(FOVEA_SIM_CHECKS)
// GCC does not report a store of a call's result to the simulator (`y[i] = f(x)`, f returning a bfloat16), so
// no call may be left where kernels are checked, even at -O0.
#define FOVEA_HOST_DEVICE __attribute__((always_inline))
#else
#define FOVEA_HOST_DEVICE
#endif
