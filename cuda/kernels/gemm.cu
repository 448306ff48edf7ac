// cuBLASLt, or our own kernel where that is faster (gemm_tiled.h). The library is column-major: a row-major c
// = a b is, read by columns, c^T = b^T a^T, so the operands are exchanged.
#include "cuda/kernels/gemm.h"

#include <map>
#include <mutex>
#include <string>
#include <tuple>
#include <type_traits>

#include "cuda/cublaslt.h"
#include "cuda/kernels/gemm_tiled.h"
#include "cuda/runtime/error.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/profile.h"
#include "cuda/runtime/stream.h"

namespace fovea::cuda {
namespace {

void check(cublasStatus_t status, const char* asked) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw CudaError(std::string("cuBLASLt: ") + cublasLtGetStatusString(status) + " (" + asked + ")");
}

template <class T>
constexpr cudaDataType_t data_type() {
  if constexpr (std::is_same_v<T, double>) return CUDA_R_64F;
  if constexpr (std::is_same_v<T, bfloat16>) return CUDA_R_16BF;
  return CUDA_R_32F;
}

// The algorithm for a product of these sizes, requested from the library once.
struct Plan {
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, c = nullptr;
  cublasLtMatmulAlgo_t algorithm{};
};

// Column-major: c (rows x columns) = op(a) op(b), sums over `inner`.
using Key = std::tuple<int64_t, int64_t, int64_t, bool, bool, bool, cudaDataType_t, cudaDataType_t>;

struct Library {
  std::mutex mutex;  // a plan's operation holds the bias of the product that is being launched
  cublasLtHandle_t handle = nullptr;
  bool created = false;
  std::map<Key, Plan> plans;
};
Library& library = *new Library;  // never destroyed: the library may be unloaded before our static objects

Plan make_plan(const Key& key) {
  const auto& [rows, columns, inner, a_transposed, b_transposed, has_bias, in_type, out_type] = key;
  const bool is_double = in_type == CUDA_R_64F;
  Plan plan;
  check(cublasLtMatmulDescCreate(&plan.operation, is_double ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F,
                                 is_double ? CUDA_R_64F : CUDA_R_32F),
        "cublasLtMatmulDescCreate");
  const auto set = [&](cublasLtMatmulDescAttributes_t attribute, const auto& value) {
    check(cublasLtMatmulDescSetAttribute(plan.operation, attribute, &value, sizeof value),
          "matmul attribute");
  };
  set(CUBLASLT_MATMUL_DESC_TRANSA, a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(CUBLASLT_MATMUL_DESC_TRANSB, b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
  if (has_bias) {
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, out_type);
  }
  check(cublasLtMatrixLayoutCreate(&plan.a, in_type, uint64_t(a_transposed ? inner : rows),
                                   uint64_t(a_transposed ? rows : inner), a_transposed ? inner : rows),
        "layout of a");
  check(cublasLtMatrixLayoutCreate(&plan.b, in_type, uint64_t(b_transposed ? columns : inner),
                                   uint64_t(b_transposed ? inner : columns), b_transposed ? columns : inner),
        "layout of b");
  check(cublasLtMatrixLayoutCreate(&plan.c, out_type, uint64_t(rows), uint64_t(columns), rows),
        "layout of c");
  // By default the library assumes that matrices, and a bias not yet set, are aligned to 256 bytes.
  static_assert(gemm_alignment == 256);
  cublasLtMatmulPreference_t preference;
  check(cublasLtMatmulPreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate");
  const auto workspace_bytes = uint64_t(gemm_workspace_bytes);
  check(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                             &workspace_bytes, sizeof workspace_bytes),
        "workspace size");
  // Partial sums over k go through the workspace, in order, and are never added in place in arrival order.
  const uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE | CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE;
  check(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                             &reductions, sizeof reductions),
        "reduction scheme");
  cublasLtMatmulHeuristicResult_t found{};
  int count = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(library.handle, plan.operation, plan.a, plan.b,
                                                               plan.c, plan.c, preference, 1, &found, &count);
  static_cast<void>(cublasLtMatmulPreferenceDestroy(preference));
  check(status, "cublasLtMatmulAlgoGetHeuristic");
  if (count == 0)
    throw CudaError("cuBLASLt: no algorithm for a product of " + std::to_string(rows) + " x " +
                    std::to_string(columns) + " over " + std::to_string(inner));
  plan.algorithm = found.algo;
  return plan;
}

void require_aligned(const char* name, const void* pointer) {
  if (reinterpret_cast<uintptr_t>(pointer) % uintptr_t(gemm_alignment) != 0)
    throw CudaError(std::string("matrix product: ") + name + " does not begin at a multiple of " +
                    std::to_string(gemm_alignment) + " bytes: copy it into a buffer of its own");
}

template <class T, class Out>
void multiply(int64_t rows, int64_t columns, int64_t inner, const T* a, bool a_transposed, const T* b,
              bool b_transposed, const Out* bias, Out* c, bool add = false) {
  // Named as in gemm.h, where the operands are not exchanged.
  require_aligned("a", b);
  require_aligned("b", a);
  require_aligned("the bias", bias);
  require_aligned("c", c);
  if constexpr (std::is_same_v<Out, bfloat16>)
    if (!b_transposed && !add && prefers_tiles(columns, rows, inner))
      return gemm_tiled<T>({int(columns), int(rows), int(inner), b, a, bias, c, a_transposed});
  const std::lock_guard lock(library.mutex);
  if (!library.created) check(cublasLtCreate(&library.handle), "cublasLtCreate");
  library.created = true;
  const Key key{rows,         columns,         inner,          a_transposed,
                b_transposed, bias != nullptr, data_type<T>(), data_type<Out>()};
  auto found = library.plans.find(key);
  if (found == library.plans.end()) found = library.plans.emplace(key, make_plan(key)).first;
  const Plan& plan = found->second;
  if (bias)
    check(
        cublasLtMatmulDescSetAttribute(plan.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias),
        "bias");
  const Accumulator<T> one = 1, beta = add ? 1 : 0;
  const Workspace<std::byte> workspace(gemm_workspace_bytes, User::library);
  LaunchTimer::note("gemm", int64_t(sizeof(T)) * inner * (rows + columns) +
                                int64_t(sizeof(Out)) * rows * columns * (add ? 2 : 1));
  check(
      cublasLtMatmul(library.handle, plan.operation, &one, a, plan.a, b, plan.b, &beta, c, plan.c, c, plan.c,
                     &plan.algorithm, workspace.data(), size_t(gemm_workspace_bytes), current_stream().get()),
      "cublasLtMatmul");
}

// An empty sum: the library accepts no empty matrices.
template <class T>
void fill_with_zeros(int64_t m, int64_t n, T* c) {
  fill_bytes(c, 0, size_t(m * n) * sizeof(T));
}

}  // namespace

template <class T>
void gemm(int64_t m, int64_t n, int64_t k, const T* a, const T* b, const T* bias, T* c) {
  if (m == 0 || n == 0) return;
  if (k > 0) return multiply(n, m, k, b, false, a, false, bias, c);
  fill_with_zeros(m, n, c);
  for (int64_t row = 0; bias && row < m; ++row) copy_on_device(c + row * n, bias, size_t(n) * sizeof(T));
}
template <class T>
void gemm_nt(int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* c, bool add) {
  if (m == 0 || n == 0 || (k == 0 && add)) return;
  if (k == 0) return fill_with_zeros(m, n, c);
  multiply(n, m, k, b, true, a, false, static_cast<const T*>(nullptr), c, add);
}
template <class T>
void gemm_tn(int64_t m, int64_t n, int64_t k, const T* a, const T* b, Accumulator<T>* c) {
  if (m == 0 || n == 0) return;
  if (k == 0) return fill_with_zeros(m, n, c);
  multiply(n, m, k, b, false, a, true, static_cast<const Accumulator<T>*>(nullptr), c);
}

// T is a type, which takes no parentheses: NOLINTBEGIN(bugprone-macro-parentheses)
#define INSTANTIATE(T)                                                                \
  template void gemm<T>(int64_t, int64_t, int64_t, const T*, const T*, const T*, T*); \
  template void gemm_nt<T>(int64_t, int64_t, int64_t, const T*, const T*, T*, bool);  \
  template void gemm_tn<T>(int64_t, int64_t, int64_t, const T*, const T*, Accumulator<T>*);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(bfloat16)
// NOLINTEND(bugprone-macro-parentheses)

}  // namespace fovea::cuda
