// Elements selected by indices and by a condition. Bytes moved: gather n (2 sizeof(T) + sizeof(Index)) with n
// elements of y, where reads (elements of condition, a and b) and writes n.
//
// The gradient of gather uses no atomic sums, whose order would change from run to run: each element of x
// searches the indices of its line, which all elements of the line share in a cache. The work is (elements of
// x) * (indices along the axis): little for one index per line, as labels have.
#include "cuda/kernels/indexing.h"

#include <cmath>

#include "cuda/device/grid.h"
#include "cuda/runtime/launch.h"

namespace fovea::cuda {
namespace {

template <class T, class Index>
__global__ void gather_naive(const T* x, const Index* indices, T* y, GatherDims d) {
  for (int64_t i : grid_stride(d.n)) {
    const int64_t index = indices[i];
    y[i] = index >= 0 && index < d.x_count ? x[d.line(i) + index * d.x_stride] : T(Accumulator<T>(NAN));
  }
}

template <class T, class Index>
__global__ void gather_backward_naive(const T* dy, const Index* indices, T* dx, GatherDims d) {
  using R = Accumulator<T>;
  for (int64_t i : grid_stride(d.x_n)) {
    int64_t own = 0;
    const int64_t line = d.reader(i, &own);
    R sum = 0;
    for (int64_t k = 0; line >= 0 && k < d.count; ++k) {
      const int64_t at = line + k * d.stride, index = indices[at];
      if (index == own) sum += R(dy[at]);
      if (index < 0 || index >= d.x_count) sum = R(NAN);
    }
    dx[i] = T(sum);
  }
}

template <class T>
__global__ void where_naive(const uint8_t* condition, const T* a, const T* b, T* y, WhereDims d) {
  for (int64_t i : grid_stride(d.numel)) {
    const WhereDims::Place at = d.place(i);
    y[i] = condition[at.condition] ? a[at.a] : b[at.b];
  }
}

}  // namespace

template <class T, class Index>
void gather(const T* x, const Index* indices, T* y, const GatherDims& d) {
  launch(gather_naive<T, Index>, {grid_for(d.n), block_threads}, x, indices, y, d);
}

template <class T, class Index>
void gather_backward(const T* dy, const Index* indices, T* dx, const GatherDims& d) {
  launch(gather_backward_naive<T, Index>, {grid_for(d.x_n), block_threads}, dy, indices, dx, d);
}

template <class T>
void where(const uint8_t* condition, const T* a, const T* b, T* y, const WhereDims& d) {
  launch(where_naive<T>, {grid_for(d.numel), block_threads}, condition, a, b, y, d);
}

#define INSTANTIATE_INDEX(T, Index)                                              \
  template void gather<T, Index>(const T*, const Index*, T*, const GatherDims&); \
  template void gather_backward<T, Index>(const T*, const Index*, T*, const GatherDims&);
#define INSTANTIATE(T)          \
  INSTANTIATE_INDEX(T, int32_t) \
  INSTANTIATE_INDEX(T, int64_t) \
  template void where<T>(const uint8_t*, const T*, const T*, T*, const WhereDims&);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(bfloat16)

}  // namespace fovea::cuda
