#pragma once
#include <cstdint>

#include "cuda/device/bfloat16.h"

namespace fovea::cuda {

// Matrix products by a library: cuBLASLt on a GPU, and in the simulator functions of the same names, which
// refuse what cuBLASLt refuses (cuda/sim/cublaslt.h). All matrices are row-major and dense, and each begins
// at a multiple of gemm_alignment bytes, as whatever allocate() returns does; others throw CudaError. Sums
// are in Accumulator<T> (bfloat16 products use tensor cores), with the same bits for the same sizes. T:
// float, double, bfloat16. They run on the current stream and may be captured into a graph.
inline constexpr int64_t gemm_alignment = 256;  // the library's own default

// What each product takes from the caching allocator while it runs: NVIDIA's recommendation for sm_90.
inline constexpr int64_t gemm_workspace_bytes = int64_t(32) << 20;

// c (m x n) = a (m x k) * b (k x n) + bias (n), unless bias is null. The library adds only a bias of c's
// type, so for bfloat16 it is already rounded; the sum is rounded once, when it is stored.
template <class T>
void gemm(int64_t m, int64_t n, int64_t k, const T* a, const T* b, const T* bias, T* c);
// c (m x n) = a (m x k) * b^T, with b (n x k); if `add`, c += that, rounded once
template <class T>
void gemm_nt(int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* c, bool add);
// c (m x n) = a^T * b, with a (k x m) and b (k x n): gradients of weights, hence of type Accumulator<T>
template <class T>
void gemm_tn(int64_t m, int64_t n, int64_t k, const T* a, const T* b, Accumulator<T>* c);

}  // namespace fovea::cuda
