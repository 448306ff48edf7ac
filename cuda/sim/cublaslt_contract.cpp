// What cuBLASLt refuses: from the section "cublasLtMatmul()" of NVIDIA's cuBLAS documentation
// (https://docs.nvidia.com/cuda/cublas/#cublasltmatmul) and the comments in CUDA 13.0's cublasLt.h.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <string>
#include <string_view>

#include "cuda/runtime/error.h"
#include "cuda/sim/cublaslt.h"
#include "cuda/sim/simulator.h"

namespace fovea::sim {
namespace {

using Operation = cublasLtMatmulDescOpaque_t;
using Layout = cublasLtMatrixLayoutOpaque_t;

// The rows of the table "Datatypes Supported" for this simulator's types: all others are refused.
struct SupportedTypes {
  cublasComputeType_t compute;
  cudaDataType_t scale, ab, cd, bias;
};
constexpr SupportedTypes supported[] = {
    {CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_16BF, CUDA_R_16BF, CUDA_R_16BF},
    {CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_16BF, CUDA_R_32F, CUDA_R_32F},
    {CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F},
    {CUBLAS_COMPUTE_64F, CUDA_R_64F, CUDA_R_64F, CUDA_R_64F, CUDA_R_64F},
};

// Bytes. "The workspace pointer must be aligned to at least a multiple of 256 bytes", and the heuristic
// expects the same of matrices, unless its preference says otherwise
// (CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES).
constexpr uint32_t default_alignment = 256;

template <class... Arguments>
void require(bool holds, fmt::format_string<Arguments...> text, Arguments&&... arguments) {
  if (!holds)
    throw CudaError("[simulator] cuBLASLt refuses a product: " +
                    fmt::format(text, std::forward<Arguments>(arguments)...));
}

std::string name(int32_t type) {
  switch (type) {
    case CUDA_R_32F:
      return "CUDA_R_32F";
    case CUDA_R_64F:
      return "CUDA_R_64F";
    case CUDA_R_16BF:
      return "CUDA_R_16BF";
  }
  return std::to_string(type);
}
std::string_view name(cublasComputeType_t type) {
  return type == CUBLAS_COMPUTE_64F ? "CUBLAS_COMPUTE_64F" : "CUBLAS_COMPUTE_32F";
}

void require_types(const Operation& operation, const Layout& a, const Layout& b, const Layout& c,
                   const Layout& d) {
  require(a.type == b.type, "A is {} and B is {}: they must have the same type", name(a.type), name(b.type));
  require(c.type == d.type, "C is {} and D is {}: they must have the same type", name(c.type), name(d.type));
  const auto* row =
      std::find_if(std::begin(supported), std::end(supported), [&](const SupportedTypes& types) {
        return types.compute == operation.compute && types.scale == operation.scale && types.ab == a.type &&
               types.cd == d.type;
      });
  require(row != std::end(supported),
          "the compute type {}, the scale type {}, A and B of {} and D of {} are not a row of its table of "
          "supported data types",
          name(operation.compute), name(operation.scale), name(a.type), name(d.type));
  const int32_t bias = operation.bias_type == -1 ? int32_t(d.type) : operation.bias_type;
  require(operation.epilogue == CUBLASLT_EPILOGUE_DEFAULT || bias == row->bias,
          "the bias is {}: with A and B of {} and D of {} it must be {}", name(bias), name(a.type),
          name(d.type), name(row->bias));
}

// CUBLASLT_MATRIX_LAYOUT_LD: "must be large enough so that matrix memory locations are not overlapping".
// CUBLASLT_MATRIX_LAYOUT_ROWS and _COLS: "only values that can be expressed as int32_t are supported".
// The documentation does not mention empty matrices: they are refused here, so that no caller relies on what
// the library does with them.
void require_layout(const char* matrix, const Layout& layout) {
  require(layout.rows > 0 && layout.columns > 0, "{} is {} x {}: it must have rows and columns", matrix,
          layout.rows, layout.columns);
  require(layout.rows <= INT32_MAX && layout.columns <= INT32_MAX,
          "{} is {} x {}: rows and columns must fit into 32 bits", matrix, layout.rows, layout.columns);
  require(layout.leading >= int64_t(layout.rows),
          "the leading dimension of {} is {}: it must be at least its {} rows", matrix, layout.leading,
          layout.rows);
}

bool is_aligned(const void* pointer, uint32_t bytes) { return uintptr_t(pointer) % bytes == 0; }

void require_pointer(const char* what, const void* pointer, uint32_t alignment) {
  require(pointer != nullptr, "the pointer of {} is null", what);
  require(is_aligned(pointer, alignment),
          "{} is at {}: the algorithm was chosen for addresses that are multiples of {} bytes", what,
          fmt::ptr(pointer), alignment);
}

// On the bias: "Routines that don't dereference this pointer, like cublasLtMatmulAlgoGetHeuristic() depend on
// its value to determine expected pointer alignment." Null is the most aligned value of all.
uint32_t expected_alignment(const void* bias) {
  return 1u << std::countr_zero(uintptr_t(bias) | default_alignment);
}

}  // namespace

void require_product(const Operation& operation, const Layout& a, const Layout& b, const Layout& c,
                     const Layout& d) {
  require_types(operation, a, b, c, d);
  require_layout("A", a);
  require_layout("B", b);
  require_layout("C", c);
  require_layout("D", d);
  const bool ta = operation.transa == CUBLAS_OP_T, tb = operation.transb == CUBLAS_OP_T;
  const uint64_t m = ta ? a.columns : a.rows, k = ta ? a.rows : a.columns;
  const uint64_t inner = tb ? b.columns : b.rows, n = tb ? b.rows : b.columns;
  require(k == inner && d.rows == m && d.columns == n,
          "op(A) is {} x {}, op(B) is {} x {} and D is {} x {}: these do not fit", m, k, inner, n, d.rows,
          d.columns);
  require(c.rows == d.rows && c.columns == d.columns, "C is {} x {} and D is {} x {}: they must be equal",
          c.rows, c.columns, d.rows, d.columns);
}

void require_call(const MatrixProduct& p, const cublasLtMatmulAlgo_t* algorithm) {
  require_product(p.operation, p.a_layout, p.b_layout, p.c_layout, p.d_layout);
  require(algorithm != nullptr, "it has no algorithm: get one from cublasLtMatmulAlgoGetHeuristic()");
  const Operation& chosen = algorithm->operation;
  require(p.operation.compute == chosen.compute && p.operation.scale == chosen.scale &&
              p.operation.transa == chosen.transa && p.operation.transb == chosen.transb &&
              p.operation.epilogue == chosen.epilogue && p.operation.bias_type == chosen.bias_type &&
              p.a_layout == algorithm->a && p.b_layout == algorithm->b && p.c_layout == algorithm->c &&
              p.d_layout == algorithm->d,
          "its algorithm was chosen for another product");
  // CUBLASLT_POINTER_MODE_HOST, the default.
  require(p.alpha && p.beta, "alpha or beta is null");
  const auto on_device = [](const void* pointer) {
    return uintptr_t(pointer) - uintptr_t(arena().base) < arena().bytes;
  };
  require(!on_device(p.alpha) && !on_device(p.beta), "alpha and beta must be in the host's memory");
  require_pointer("A", p.a, algorithm->preference.alignment_a);
  require_pointer("B", p.b, algorithm->preference.alignment_b);
  require_pointer("C", p.c, algorithm->preference.alignment_c);
  require_pointer("D", p.d, algorithm->preference.alignment_d);
  require(p.c != p.d || p.c_layout == p.d_layout, "C and D are one matrix with two layouts");
  if (p.operation.epilogue == CUBLASLT_EPILOGUE_BIAS)
    require_pointer("the bias", p.operation.bias, expected_alignment(chosen.bias));
  // An algorithm may need everything it was allowed.
  require(p.workspace_bytes >= algorithm->preference.workspace_bytes,
          "the workspace has {} bytes: the algorithm was chosen with {}", p.workspace_bytes,
          algorithm->preference.workspace_bytes);
  if (p.workspace_bytes == 0) return;
  require_pointer("the workspace", p.workspace, default_alignment);
  require(on_device(p.workspace), "the workspace at {} is not device memory", fmt::ptr(p.workspace));
}

void refuse_attribute(const char* function, int attribute, size_t bytes, size_t expected) {
  throw CudaError(fmt::format("[simulator] {}: attribute {} of {} bytes: it has {}", function, attribute,
                              bytes, expected));
}

}  // namespace fovea::sim
