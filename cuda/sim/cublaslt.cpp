// cuBLASLt on the simulated device: descriptors like the library's, and the product itself by oneDNN, in
// float64 by plain loops. Tiled kernels of our own would take hours here, and no test of ours would find a
// fault in the library's.
#include "cuda/sim/cublaslt.h"

#include <dnnl.h>
#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <vector>

#include "cuda/device/bfloat16.h"
#include "cuda/runtime/error.h"
#include "cuda/sim/capture.h"
#include "cuda/sim/simulator.h"

namespace fovea::sim {
namespace {

template <class T>
void set(T& field, const char* function, int attribute, const void* value, size_t bytes) {
  if (bytes != sizeof field || !value) refuse_attribute(function, attribute, bytes, sizeof field);
  std::memcpy(&field, value, bytes);
}

// The bytes from a matrix' first element to its last.
size_t extent(const cublasLtMatrixLayoutOpaque_t& layout, size_t element) {
  return (size_t(layout.leading) * (layout.columns - 1) + layout.rows) * element;
}

void require_range(const char* name, const void* pointer, size_t bytes, [[maybe_unused]] bool read) {
  std::string fault = range_fault(pointer, bytes);
#ifdef FOVEA_SIM_CHECKS
  const size_t offset = size_t(static_cast<const std::byte*>(pointer) - arena().base);
  if (fault.empty() && read && std::memchr(arena().state + offset, uninitialised, bytes))
    fault = "it is uninitialised";
#endif
  if (!fault.empty())
    throw CudaError(fmt::format("[simulator] matrix product: {} is wrong: {}", name, fault));
}

// Row-major, as oneDNN has it: c (m x n) = op(a) op(b), sums over k; c is dense.
struct Operand {
  bool transposed;
  int64_t leading;  // elements from one stored row to the next
};
void multiply(int64_t m, int64_t n, int64_t k, const float* a, Operand ta, const float* b, Operand tb,
              float* c) {
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);  // the order of sums must not depend on the number of threads
  const dnnl_status_t status = dnnl_sgemm(ta.transposed ? 'T' : 'N', tb.transposed ? 'T' : 'N', m, n, k, 1.0f,
                                          a, ta.leading, b, tb.leading, 0.0f, c, n);
  omp_set_num_threads(threads);
  if (status != dnnl_success)
    throw CudaError(fmt::format("oneDNN: sgemm failed with status {}", int(status)));
}
void multiply(int64_t m, int64_t n, int64_t k, const double* a, Operand ta, const double* b, Operand tb,
              double* c) {
  std::fill_n(c, m * n, 0.0);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t p = 0; p < k; ++p) {
      const double x = ta.transposed ? a[p * ta.leading + i] : a[i * ta.leading + p];
      for (int64_t j = 0; j < n; ++j)
        c[i * n + j] += x * (tb.transposed ? b[j * tb.leading + p] : b[p * tb.leading + j]);
    }
}

std::vector<float> widened(const bfloat16* x, size_t n) {
  std::vector<float> result(n);
  for (size_t i = 0; i < n; ++i) result[i] = float(x[i]);
  return result;
}

// D = op(A) op(B), with `add` + C, and the bias, of D's type, added to each column. Read by rows, a
// column-major matrix is its own transpose, hence D^T = op(B)^T op(A)^T.
template <class T, class Out>
void compute(const MatrixProduct& p, bool add) {
  const auto& [operation, la, lb, lc, ld] =
      std::tie(p.operation, p.a_layout, p.b_layout, p.c_layout, p.d_layout);
  const Unlocked unlocked;
  require_range("A", p.a, extent(la, sizeof(T)), la.leading == int64_t(la.rows));
  require_range("B", p.b, extent(lb, sizeof(T)), lb.leading == int64_t(lb.rows));
  if (add) require_range("C", p.c, extent(lc, sizeof(Out)), lc.leading == int64_t(lc.rows));
  require_range("D", p.d, extent(ld, sizeof(Out)), false);
  const auto* bias =
      operation.epilogue == CUBLASLT_EPILOGUE_BIAS ? static_cast<const Out*>(operation.bias) : nullptr;
  if (bias) require_range("the bias", bias, ld.rows * sizeof(Out), true);
  const int64_t m = int64_t(ld.columns), n = int64_t(ld.rows);
  const int64_t k = int64_t(operation.transa == CUBLAS_OP_T ? la.rows : la.columns);
  const Operand ta{operation.transa == CUBLAS_OP_T, la.leading};
  const Operand tb{operation.transb == CUBLAS_OP_T, lb.leading};
  const T *a = static_cast<const T*>(p.a), *b = static_cast<const T*>(p.b);
  std::vector<Accumulator<T>> sums(static_cast<size_t>(m * n));
  if constexpr (std::is_same_v<T, bfloat16>)
    multiply(m, n, k, widened(b, extent(lb, 1)).data(), tb, widened(a, extent(la, 1)).data(), ta,
             sums.data());
  else
    multiply(m, n, k, b, tb, a, ta, sums.data());
  for (int64_t i = 0; i < m; ++i) {
    Out* column = static_cast<Out*>(p.d) + i * ld.leading;
    const Out* before = static_cast<const Out*>(p.c) + i * lc.leading;
    for (int64_t j = 0; j < n; ++j)
      column[j] = Out(sums[size_t(i * n + j)] + (bias ? Accumulator<T>(bias[j]) : Accumulator<T>(0)) +
                      (add ? Accumulator<T>(before[j]) : Accumulator<T>(0)));
    mark_initialised(column, size_t(n) * sizeof(Out));
  }
}

void compute_product(const MatrixProduct& p, bool add) {
  if (p.a_layout.type == CUDA_R_64F) return compute<double, double>(p, add);
  if (p.a_layout.type == CUDA_R_32F) return compute<float, float>(p, add);
  if (p.d_layout.type == CUDA_R_32F) return compute<bfloat16, float>(p, add);
  compute<bfloat16, bfloat16>(p, add);
}

// alpha and beta have the scale type.
double scalar(const void* value, cudaDataType_t type) {
  return type == CUDA_R_64F ? *static_cast<const double*>(value) : double(*static_cast<const float*>(value));
}

}  // namespace
}  // namespace fovea::sim

using namespace fovea::sim;

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = nullptr;  // no state is kept between calls
  return CUBLAS_STATUS_SUCCESS;
}
const char* cublasLtGetStatusString(cublasStatus_t) { return "success"; }

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* operation, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  *operation = new cublasLtMatmulDescOpaque_t{compute, scale};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t operation) {
  delete operation;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t operation,
                                              cublasLtMatmulDescAttributes_t attribute, const void* value,
                                              size_t bytes) {
  const auto into = [&](auto& field) {
    set(field, "cublasLtMatmulDescSetAttribute", attribute, value, bytes);
  };
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      into(operation->transa);
      break;
    case CUBLASLT_MATMUL_DESC_TRANSB:
      into(operation->transb);
      break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      into(operation->epilogue);
      break;
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      into(operation->bias);
      break;
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      into(operation->bias_type);
      break;
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType_t type, uint64_t rows,
                                          uint64_t columns, int64_t leading) {
  *layout = new cublasLtMatrixLayoutOpaque_t{type, rows, columns, leading};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = new cublasLtMatmulPreferenceOpaque_t;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, size_t bytes) {
  const auto into = [&](auto& field) {
    set(field, "cublasLtMatmulPreferenceSetAttribute", attribute, value, bytes);
  };
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
      into(preference->workspace_bytes);
      break;
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
      into(preference->reductions);
      break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
      into(preference->alignment_a);
      break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
      into(preference->alignment_b);
      break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
      into(preference->alignment_c);
      break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
      into(preference->alignment_d);
      break;
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t operation,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t* results, int* found) {
  require_product(*operation, *a, *b, *c, *d);
  *found = std::min(wanted, 1);
  if (*found > 0)
    results[0] = {{*operation, *a, *b, *c, *d, *preference},
                  size_t(preference->workspace_bytes),
                  CUBLAS_STATUS_SUCCESS,
                  1.0f};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t operation, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                              cublasLtMatrixLayout_t c_layout, void* d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* algorithm, void* workspace, size_t workspace_bytes,
                              cudaStream_t stream) {
  const MatrixProduct product{*operation, *a_layout, *b_layout, *c_layout, *d_layout, alpha,          a,
                              b,          beta,      c,         d,         workspace, workspace_bytes};
  require_call(product, algorithm);
  const double factor = scalar(beta, operation->scale);  // read now: the work may be done after the call
  if (scalar(alpha, operation->scale) != 1 || (factor != 0 && factor != 1))
    throw fovea::CudaError(
        "[simulator] matrix product: alpha must be 1 and beta 0 or 1: others are not simulated");
  submit(stream, [product, factor] { compute_product(product, factor == 1); });
  return CUBLAS_STATUS_SUCCESS;
}
