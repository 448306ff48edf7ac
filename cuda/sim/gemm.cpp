// Matrix products on the simulated device: oneDNN for float32 and bfloat16, plain loops for float64. Tiled
// kernels of our own would take hours here, and no test of ours would find a fault in cuBLASLt.
#include "cuda/kernels/gemm.h"

#include <dnnl.h>
#include <omp.h>

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <vector>

#include <fmt/format.h>

#include "cuda/runtime/error.h"
#include "cuda/runtime/profile.h"
#include "cuda/runtime/stream.h"
#include "cuda/sim/capture.h"
#include "cuda/sim/simulator.h"

namespace fovea::cuda {
namespace {

struct Operand {
  bool transposed;
  int64_t leading;  // elements from one stored row to the next
};

void require_range(const char* name, const void* pointer, int64_t bytes, [[maybe_unused]] bool read) {
  std::string fault = sim::range_fault(pointer, size_t(bytes));
#ifdef FOVEA_SIM_CHECKS
  const size_t offset = size_t(static_cast<const std::byte*>(pointer) - sim::arena().base);
  if (fault.empty() && read && std::memchr(sim::arena().state + offset, sim::uninitialised, size_t(bytes)))
    fault = "it is uninitialised";
#endif
  if (!fault.empty())
    throw CudaError(fmt::format("[simulator] matrix product: operand {} is wrong: {}", name, fault));
}

void product(int64_t m, int64_t n, int64_t k, const float* a, Operand ta, const float* b, Operand tb,
             float* c) {
  if (k == 0) return void(std::fill_n(c, m * n, 0.0f));
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);  // the order of sums must not depend on how many there are
  const dnnl_status_t status = dnnl_sgemm(ta.transposed ? 'T' : 'N', tb.transposed ? 'T' : 'N', m, n, k, 1.0f,
                                          a, ta.leading, b, tb.leading, 0.0f, c, n);
  omp_set_num_threads(threads);
  if (status != dnnl_success)
    throw CudaError(fmt::format("oneDNN: sgemm failed with status {}", int(status)));
}

void product(int64_t m, int64_t n, int64_t k, const double* a, Operand ta, const double* b, Operand tb,
             double* c) {
  std::fill_n(c, m * n, 0.0);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t p = 0; p < k; ++p) {
      const double x = ta.transposed ? a[p * ta.leading + i] : a[i * ta.leading + p];
      for (int64_t j = 0; j < n; ++j)
        c[i * n + j] += x * (tb.transposed ? b[j * tb.leading + p] : b[p * tb.leading + j]);
    }
}

std::vector<float> widened(const bfloat16* x, int64_t n) {
  std::vector<float> result(static_cast<size_t>(n));
  for (size_t i = 0; i < result.size(); ++i) result[i] = float(x[i]);
  return result;
}

template <class T, class Out>
void multiply(int64_t m, int64_t n, int64_t k, const T* a, Operand ta, const T* b, Operand tb,
              const Real<T>* bias, Out* c) {
  if (m == 0 || n == 0) return;
  LaunchTimer::note("gemm", int64_t(sizeof(T)) * k * (m + n) + int64_t(sizeof(Out)) * m * n);
  sim::submit(current_stream().get(), [=] {
    const sim::Unlocked unlocked;
    require_range("a", a, m * k * int64_t(sizeof(T)), true);
    require_range("b", b, k * n * int64_t(sizeof(T)), true);
    if (bias) require_range("bias", bias, n * int64_t(sizeof(Real<T>)), true);
    require_range("c", c, m * n * int64_t(sizeof(Out)), false);
    std::vector<Real<T>> sums(static_cast<size_t>(m * n));
    if constexpr (std::is_same_v<T, bfloat16>)
      product(m, n, k, widened(a, m * k).data(), ta, widened(b, k * n).data(), tb, sums.data());
    else
      product(m, n, k, a, ta, b, tb, sums.data());
    for (int64_t i = 0; i < m * n; ++i) c[i] = Out(sums[size_t(i)] + (bias ? bias[i % n] : Real<T>(0)));
    sim::mark_initialised(c, size_t(m * n) * sizeof(Out));
  });
}

}  // namespace

template <class T>
void gemm(int64_t m, int64_t n, int64_t k, const T* a, const T* b, const Real<T>* bias, T* c) {
  multiply(m, n, k, a, {false, k}, b, {false, n}, bias, c);
}
template <class T>
void gemm_nt(int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* c) {
  multiply(m, n, k, a, {false, k}, b, {true, k}, static_cast<const Real<T>*>(nullptr), c);
}
template <class T>
void gemm_tn(int64_t m, int64_t n, int64_t k, const T* a, const T* b, Real<T>* c) {
  multiply(m, n, k, a, {true, m}, b, {false, n}, static_cast<const Real<T>*>(nullptr), c);
}

// A type, which takes no parentheses: NOLINTBEGIN(bugprone-macro-parentheses)
#define INSTANTIATE(T)                                                                      \
  template void gemm<T>(int64_t, int64_t, int64_t, const T*, const T*, const Real<T>*, T*); \
  template void gemm_nt<T>(int64_t, int64_t, int64_t, const T*, const T*, T*);              \
  template void gemm_tn<T>(int64_t, int64_t, int64_t, const T*, const T*, Real<T>*);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(bfloat16)
// NOLINTEND(bugprone-macro-parentheses)

}  // namespace fovea::cuda
