#pragma once
#include <cstdint>

#include "cuda/device/bfloat16.h"

namespace fovea::cuda {

// Matrix products, the one thing that a library does: cuBLASLt on a GPU, oneDNN in the simulator. All
// matrices are row-major and dense, sums are in Real<T> (bfloat16 products on tensor cores), the same bits
// for the same sizes. T: float, double, bfloat16. On the current stream; may be captured into a graph.

// c (m x n) = a (m x k) * b (k x n) + bias (n), where bias is not null
template <class T>
void gemm(int64_t m, int64_t n, int64_t k, const T* a, const T* b, const Real<T>* bias, T* c);
// c (m x n) = a (m x k) * b^T, with b (n x k)
template <class T>
void gemm_nt(int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* c);
// c (m x n) = a^T * b, with a (k x m) and b (k x n): gradients of weights, hence of type Real<T>
template <class T>
void gemm_tn(int64_t m, int64_t n, int64_t k, const T* a, const T* b, Real<T>* c);

}  // namespace fovea::cuda
