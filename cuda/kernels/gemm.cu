// cuBLASLt. It thinks in columns: a row-major c = a b is, read by columns, c^T = b^T a^T, so the operands
// change places.
#include "cuda/kernels/gemm.h"

#ifndef FOVEA_SIM  // cuda/sim/gemm.cpp

#include <cublasLt.h>

#include <map>
#include <mutex>
#include <string>
#include <tuple>
#include <type_traits>

#include "cuda/kernels/elementwise.h"
#include "cuda/runtime/error.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/profile.h"
#include "cuda/runtime/stream.h"

namespace fovea::cuda {
namespace {

constexpr size_t workspace_bytes = size_t(32) << 20;  // what NVIDIA recommends for sm_90

void check(cublasStatus_t status, const char* asked) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw CudaError(std::string("cuBLASLt: ") + cublasLtGetStatusString(status) + " (" + asked + ")");
}

cublasLtHandle_t handle() {
  static const cublasLtHandle_t instance = [] {
    cublasLtHandle_t made;
    check(cublasLtCreate(&made), "cublasLtCreate");
    return made;
  }();
  return instance;
}

template <class T>
constexpr cudaDataType_t data_type() {
  if constexpr (std::is_same_v<T, double>) return CUDA_R_64F;
  if constexpr (std::is_same_v<T, bfloat16>) return CUDA_R_16BF;
  return CUDA_R_32F;
}

// How a product of these sizes is done: asked of the library once.
struct Plan {
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, c = nullptr;
  cublasLtMatmulAlgo_t algorithm{};
};

// Column-major: c (rows x columns) = op(a) op(b), sums over `inner`.
using Key = std::tuple<int64_t, int64_t, int64_t, bool, bool, bool, cudaDataType_t, cudaDataType_t>;

Plan make_plan(const Key& key, cublasComputeType_t compute, cudaDataType_t scale_type) {
  const auto& [rows, columns, inner, a_transposed, b_transposed, has_bias, in_type, out_type] = key;
  Plan plan;
  check(cublasLtMatmulDescCreate(&plan.operation, compute, scale_type), "cublasLtMatmulDescCreate");
  const auto set = [&](cublasLtMatmulDescAttributes_t attribute, const auto& value) {
    check(cublasLtMatmulDescSetAttribute(plan.operation, attribute, &value, sizeof value),
          "matmul attribute");
  };
  set(CUBLASLT_MATMUL_DESC_TRANSA, a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(CUBLASLT_MATMUL_DESC_TRANSB, b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
  if (has_bias) {
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, scale_type);
  }
  check(cublasLtMatrixLayoutCreate(&plan.a, in_type, uint64_t(a_transposed ? inner : rows),
                                   uint64_t(a_transposed ? rows : inner), a_transposed ? inner : rows),
        "layout of a");
  check(cublasLtMatrixLayoutCreate(&plan.b, in_type, uint64_t(b_transposed ? columns : inner),
                                   uint64_t(b_transposed ? inner : columns), b_transposed ? columns : inner),
        "layout of b");
  check(cublasLtMatrixLayoutCreate(&plan.c, out_type, uint64_t(rows), uint64_t(columns), rows),
        "layout of c");
  cublasLtMatmulPreference_t preference;
  check(cublasLtMatmulPreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate");
  check(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                             &workspace_bytes, sizeof workspace_bytes),
        "workspace size");
  // Partial sums over k through the workspace, in order; never added up in place by whoever comes first.
  const uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE | CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE;
  check(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                             &reductions, sizeof reductions),
        "reduction scheme");
  cublasLtMatmulHeuristicResult_t found{};
  int count = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle(), plan.operation, plan.a, plan.b,
                                                               plan.c, plan.c, preference, 1, &found, &count);
  static_cast<void>(cublasLtMatmulPreferenceDestroy(preference));
  check(status, "cublasLtMatmulAlgoGetHeuristic");
  if (count == 0)
    throw CudaError("cuBLASLt: no algorithm for a product of " + std::to_string(rows) + " x " +
                    std::to_string(columns) + " over " + std::to_string(inner));
  plan.algorithm = found.algo;
  return plan;
}

template <class T, class Out>
void multiply(int64_t rows, int64_t columns, int64_t inner, const T* a, bool a_transposed, const T* b,
              bool b_transposed, const Real<T>* bias, Out* c) {
  static std::mutex mutex;
  static std::map<Key, Plan> plans;
  constexpr bool is_double = std::is_same_v<T, double>;
  Plan plan;
  {
    const std::lock_guard lock(mutex);
    const Key key{rows,         columns,         inner,          a_transposed,
                  b_transposed, bias != nullptr, data_type<T>(), data_type<Out>()};
    const auto found = plans.find(key);
    plan = found != plans.end()
               ? found->second
               : plans
                     .emplace(key, make_plan(key, is_double ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F,
                                             is_double ? CUDA_R_64F : CUDA_R_32F))
                     .first->second;
    if (bias)
      check(cublasLtMatmulDescSetAttribute(plan.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias,
                                           sizeof bias),
            "bias");
    const Real<T> one = 1, zero = 0;
    const Workspace<std::byte> workspace(workspace_bytes);
    LaunchTimer::note("gemm",
                      int64_t(sizeof(T)) * inner * (rows + columns) + int64_t(sizeof(Out)) * rows * columns);
    check(cublasLtMatmul(handle(), plan.operation, &one, a, plan.a, b, plan.b, &zero, c, plan.c, c, plan.c,
                         &plan.algorithm, workspace.data(), workspace_bytes, current_stream().get()),
          "cublasLtMatmul");
  }
}

}  // namespace

template <class T>
void gemm(int64_t m, int64_t n, int64_t k, const T* a, const T* b, const Real<T>* bias, T* c) {
  if (m == 0 || n == 0) return;
  multiply(n, m, k, b, false, a, false, bias, c);
}
template <class T>
void gemm_nt(int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* c) {
  if (m == 0 || n == 0) return;
  multiply(n, m, k, b, true, a, false, static_cast<const Real<T>*>(nullptr), c);
}
template <class T>
void gemm_tn(int64_t m, int64_t n, int64_t k, const T* a, const T* b, Real<T>* c) {
  if (m == 0 || n == 0) return;
  if (k == 0) return fill(c, Real<T>(0), m * n);
  multiply(n, m, k, b, false, a, true, static_cast<const Real<T>*>(nullptr), c);
}

#define INSTANTIATE(T)                                                                      \
  template void gemm<T>(int64_t, int64_t, int64_t, const T*, const T*, const Real<T>*, T*); \
  template void gemm_nt<T>(int64_t, int64_t, int64_t, const T*, const T*, T*);              \
  template void gemm_tn<T>(int64_t, int64_t, int64_t, const T*, const T*, Real<T>*);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(bfloat16)

}  // namespace fovea::cuda
#endif
