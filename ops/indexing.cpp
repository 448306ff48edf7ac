#include "ops/indexing.h"

#include "core/parallel.h"
#include "cuda/kernels/indexing.h"
#include "ops/arithmetic.h"
#include "ops/support/dispatch.h"

namespace fovea {
namespace {

constexpr int64_t grain = 1 << 13;

GatherDims gather_dims(const Shape& x, int axis, const Shape& indices) {
  GatherDims d;
  d.rank = x.rank();
  d.axis = axis;
  d.n = indices.numel();
  d.count = indices[axis];
  d.x_n = x.numel();
  d.x_count = x[axis];
  for (int i = 0; i < d.rank; ++i) {
    d.sizes[i] = indices[i];
    d.x_sizes[i] = x[i];
    if (i <= axis) continue;
    d.x_stride *= x[i];
    d.stride *= indices[i];
  }
  return d;
}

template <class T, class Index>
void gather_cpu(const T* x, const Index* indices, T* y, const GatherDims& d) {
  parallel_for(d.n, grain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = x[d.line(i) + int64_t(indices[i]) * d.x_stride];
  });
}

// Works line by line along the axis: no two lines of y read from the same line of x.
template <class T, class Index>
void gather_backward_cpu(const T* dy, const Index* indices, T* dx, const GatherDims& d) {
  std::fill_n(dx, d.x_n, T(0));
  const int64_t count = d.count, lines = count ? d.n / count : 0;
  parallel_for(lines, std::max<int64_t>(1, grain / std::max<int64_t>(1, count)),
               [=](int64_t begin, int64_t end) {
                 for (int64_t line = begin; line < end; ++line) {
                   const int64_t first = line / d.stride * d.stride * count + line % d.stride;
                   T* into = dx + d.line(first);
                   for (int64_t k = 0; k < count; ++k) {
                     const int64_t at = first + k * d.stride;
                     into[int64_t(indices[at]) * d.x_stride] += dy[at];
                   }
                 }
               });
}

// Calls f.operator()<Index>() with the C++ type of the indices.
template <class F>
void with_index_type(const Tensor& indices, F&& f) {
  if (indices.dtype() == DType::int32) return f.template operator()<int32_t>();
  f.template operator()<int64_t>();
}

template <class Index>
void require_inside(const Index* indices, int64_t n, int64_t size) {
  for (int64_t i = 0; i < n; ++i)
    require(indices[i] >= 0 && indices[i] < size,
            "[gather] index {}, element {} of the indices, is not in 0 to {}", indices[i], i, size - 1);
}

WhereDims where_dims(const Shape& condition, const Shape& a, const Shape& b, const Shape& out) {
  WhereDims d;
  d.numel = out.numel();
  if (condition == out && a == out && b == out) {  // one long row
    d.rank = 1;
    d.sizes[0] = d.numel;
    for (auto& strides : d.strides) strides[0] = 1;
    return d;
  }
  d.rank = out.rank();
  for (int i = 0; i < d.rank; ++i) d.sizes[i] = out[i];
  const Shape* operands[] = {&condition, &a, &b};
  for (int k = 0; k < 3; ++k) {
    int64_t stride = 1;
    for (int i = 1; i <= operands[k]->rank(); ++i) {
      const int64_t size = (*operands[k])[-i];
      d.strides[k][d.rank - i] = size == 1 ? 0 : stride;
      stride *= size;
    }
  }
  return d;
}

template <class T>
void where_cpu(const uint8_t* condition, const T* a, const T* b, T* y, const WhereDims& d) {
  parallel_for(d.numel, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const WhereDims::Place at = d.place(i);
      y[i] = condition[at.condition] ? a[at.a] : b[at.b];
    }
  });
}

// where(), off the tape.
Tensor chosen(const Tensor& condition, const Tensor& a, const Tensor& b) {
  const Shape shape =
      broadcast_shape("where", condition.shape(), broadcast_shape("where", a.shape(), b.shape()));
  Tensor y(shape, a.dtype(), a.device());
  with_compute_dtype(a, "where", [&]<class T>() {
    on<T>(a.device(), where_cpu<Accumulator<T>>, cuda::where<T>)(
        condition.data<uint8_t>(), a.data<T>(), b.data<T>(), y.data<T>(),
        where_dims(condition.shape(), a.shape(), b.shape(), shape));
  });
  return y;
}

}  // namespace

Tensor gather(const Tensor& x, int axis, const Tensor& indices) {
  const int positive = x.shape().axis(axis);
  require(indices.dtype() == DType::int32 || indices.dtype() == DType::int64,
          "[gather] the indices are {}: give int32 or int64", indices.dtype());
  bool fits = indices.rank() == x.rank();
  for (int i = 0; fits && i < x.rank(); ++i) fits = i == positive || indices.size(i) <= x.size(i);
  require(fits, "[gather] indices of {} do not fit x {}: use as many axes, none longer than x's but axis {}",
          indices.shape(), x.shape(), positive);
  require_one_device("gather", {x, indices});
  const GatherDims d = gather_dims(x.shape(), positive, indices.shape());
  Tensor y(indices.shape(), x.dtype(), x.device());
  with_index_type(indices, [&]<class Index>() {
    if (x.device() == Device::cpu && !is_dry_run())
      require_inside(indices.data<Index>(), indices.numel(), x.size(positive));
    with_compute_dtype(x, "gather", [&]<class T>() {
      on<T>(x.device(), gather_cpu<Accumulator<T>, Index>, cuda::gather<T, Index>)(
          x.data<T>(), indices.data<Index>(), y.data<T>(), d);
    });
  });
  const auto attributes = [&] { return Attributes{{"axis", positive}}; };
  return record(
      y, {"gather", attributes}, {x, indices}, [from = x.shape(), indices, d](const Tensor& dy) -> Tensors {
        Tensor dx(from, dy.dtype(), dy.device());
        with_index_type(indices, [&]<class Index>() {
          with_compute_dtype(dy, "gather", [&]<class T>() {
            on<T>(dy.device(), gather_backward_cpu<Accumulator<T>, Index>, cuda::gather_backward<T, Index>)(
                dy.data<T>(), indices.data<Index>(), dx.data<T>(), d);
          });
        });
        return {dx, {}};
      });
}

Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) {
  require(condition.dtype() == DType::uint8, "[where] the condition is {}: give uint8, 0 or not 0",
          condition.dtype());
  require(a.dtype() == b.dtype(), "[where] the dtypes differ: {} and {}", a.dtype(), b.dtype());
  require_one_device("where", {condition, a, b});
  return record(
      chosen(condition, a, b), "where", {condition, a, b},
      [condition, sa = a.shape(), sb = b.shape()](const Tensor& dy) -> Tensors {
        const Tensor zero = zeros({}, dy.dtype(), dy.device());
        return {{}, sum_to(chosen(condition, dy, zero), sa), sum_to(chosen(condition, zero, dy), sb)};
      });
}

}  // namespace fovea
