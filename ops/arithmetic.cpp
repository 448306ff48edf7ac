#include "ops/arithmetic.h"

#include "core/parallel.h"
#include "cuda/kernels/arithmetic.h"
#include "ops/support/dispatch.h"

namespace fovea {
namespace {

constexpr int64_t grain = 1 << 14;

BroadcastDims broadcast_dims(const Shape& a, const Shape& b, const Shape& out) {
  BroadcastDims d;
  d.rank = out.rank();
  int64_t a_stride = 1, b_stride = 1;
  for (int i = 1; i <= out.rank(); ++i) {
    const int axis = out.rank() - i;
    d.sizes[axis] = out[axis];
    const int64_t a_size = i <= a.rank() ? a[-i] : 1, b_size = i <= b.rank() ? b[-i] : 1;
    d.a_strides[axis] = a_size == 1 ? 0 : a_stride;
    d.b_strides[axis] = b_size == 1 ? 0 : b_stride;
    a_stride *= a_size;
    b_stride *= b_size;
  }
  return d;
}

// Calls f(row's first element in the result, in a, in b) for each run along the last axis of rows [begin,
// end).
template <class F>
void for_rows(const BroadcastDims& d, int64_t begin, int64_t end, F&& f) {
  const int64_t length = d.rank ? d.sizes[d.rank - 1] : 1;
  for (int64_t row = begin; row < end; ++row) {
    int64_t rest = row, a = 0, b = 0;
    for (int axis = d.rank - 2; axis >= 0; --axis) {
      const int64_t index = rest % d.sizes[axis];
      rest /= d.sizes[axis];
      a += index * d.a_strides[axis];
      b += index * d.b_strides[axis];
    }
    f(row * length, a, b);
  }
}

template <class Op, class T>
void binary_cpu(const T* a, const T* b, T* y, const BroadcastDims& d, int64_t n, bool same) {
  if (same) {
    parallel_for(n, grain, [=](int64_t begin, int64_t end) {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) y[i] = Op::of(a[i], b[i]);
    });
    return;
  }
  const int64_t length = d.rank ? d.sizes[d.rank - 1] : 1;
  const int64_t a_step = d.rank ? d.a_strides[d.rank - 1] : 0, b_step = d.rank ? d.b_strides[d.rank - 1] : 0;
  parallel_for(length ? n / length : 0, std::max<int64_t>(1, grain / std::max<int64_t>(length, 1)),
               [&](int64_t begin, int64_t end) {
                 for_rows(d, begin, end, [&](int64_t at, int64_t ia, int64_t ib) {
                   for (int64_t j = 0; j < length; ++j)
                     y[at + j] = Op::of(a[ia + j * a_step], b[ib + j * b_step]);
                 });
               });
}

template <class Op>
Tensor forward(const char* op, const Tensor& a, const Tensor& b) {
  require_one_device(op, {a, b});
  require(a.dtype() == b.dtype(), "[{}] the dtypes differ: {} and {}", op, a.dtype(), b.dtype());
  const Shape shape = broadcast_shape(op, a.shape(), b.shape());
  Tensor y(shape, a.dtype(), a.device());
  const BroadcastDims d = broadcast_dims(a.shape(), b.shape(), shape);
  with_compute_dtype(a, op, [&]<class T>() {
    on<T>(a.device(), binary_cpu<Op, Accumulator<T>>, cuda::binary<Op, T>)(
        a.data<T>(), b.data<T>(), y.data<T>(), d, y.numel(), a.shape() == b.shape());
  });
  return y;
}

template <class T>
void affine_cpu(const T* x, T factor, T term, T* y, int64_t n) {
  parallel_for(n, grain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = x[i] * factor + term;
  });
}

Tensor affine(const char* op, const Tensor& x, double factor, double term) {
  Tensor y = empty_like(x);
  with_compute_dtype(x, op, [&]<class T>() {
    on<T>(x.device(), affine_cpu<Accumulator<T>>, cuda::affine<T>)(
        x.data<T>(), Accumulator<T>(factor), Accumulator<T>(term), y.data<T>(), x.numel());
  });
  const auto attributes = [&] { return Attributes{{"factor", factor}, {"term", term}}; };
  return record(y, {op, attributes}, {x}, [op, factor](const Tensor& dy) -> Tensors {
    return {factor == 1 ? dy : affine(op, dy, factor, 0)};
  });
}

template <class T>
void quotient_cpu(T numerator, const T* x, T* y, int64_t n) {
  parallel_for(n, grain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = numerator / x[i];
  });
}

// numerator / x, off the tape.
Tensor quotient(double numerator, const Tensor& x) {
  Tensor y = empty_like(x);
  with_compute_dtype(x, "divide", [&]<class T>() {
    on<T>(x.device(), quotient_cpu<Accumulator<T>>, cuda::quotient<T>)(Accumulator<T>(numerator), x.data<T>(),
                                                                       y.data<T>(), x.numel());
  });
  return y;
}

template <class T>
void sum_to_cpu(const T* x, T* y, const BroadcastDims& d, int64_t n, int64_t outputs) {
  std::vector<double> sums(static_cast<size_t>(outputs));
  const int64_t length = d.rank ? d.sizes[d.rank - 1] : 1, step = d.rank ? d.a_strides[d.rank - 1] : 0;
  for_rows(d, 0, length ? n / length : 0, [&](int64_t at, int64_t into, int64_t) {
    for (int64_t j = 0; j < length; ++j) sums[size_t(into + j * step)] += double(x[at + j]);
  });
  for (size_t i = 0; i < sums.size(); ++i) y[i] = T(sums[i]);
}

// Sums `gradient`, of a broadcast shape, to `shape`, off the tape, for backward passes.
Tensor summed_to(const Tensor& gradient, const Shape& shape) {
  if (gradient.shape() == shape) return gradient;
  Tensor result(shape, gradient.dtype(), gradient.device());
  const BroadcastDims d = broadcast_dims(shape, gradient.shape(), gradient.shape());
  with_compute_dtype(gradient, "sum_to", [&]<class T>() {
    on<T>(gradient.device(), sum_to_cpu<Accumulator<T>>, cuda::sum_to<T>)(
        gradient.data<T>(), result.data<T>(), d, gradient.numel(), shape.numel());
  });
  return result;
}

}  // namespace

Shape broadcast_shape(const char* op, const Shape& a, const Shape& b) {
  Shape result = a.rank() >= b.rank() ? a : b;
  for (int i = 1; i <= result.rank(); ++i) {
    const int64_t x = i <= a.rank() ? a[-i] : 1, y = i <= b.rank() ? b[-i] : 1;
    require(x == y || x == 1 || y == 1, "[{}] {} and {} do not broadcast: sizes {} and {} at axis -{}", op, a,
            b, x, y, i);
    result.set(-i, x == 1 ? y : x);
  }
  return result;
}

Tensor sum_to(const Tensor& x, const Shape& shape) {
  require(broadcast_shape("sum_to", x.shape(), shape) == x.shape(),
          "[sum_to] {} cannot be summed to {}, which does not broadcast to it", x.shape(), shape);
  if (x.shape() == shape) return x;
  return record(summed_to(x, shape), "sum_to", {x}, [from = x.shape()](const Tensor& dy) -> Tensors {
    return {forward<Add>("sum_to", zeros(from, dy.dtype(), dy.device()), dy)};
  });
}

Tensor add(const Tensor& a, const Tensor& b) {
  return record(forward<Add>("add", a, b), "add", {a, b},
                [sa = a.shape(), sb = b.shape()](const Tensor& dy) -> Tensors {
                  return {summed_to(dy, sa), summed_to(dy, sb)};
                });
}

Tensor subtract(const Tensor& a, const Tensor& b) {
  return record(forward<Subtract>("subtract", a, b), "subtract", {a, b},
                [sa = a.shape(), sb = b.shape()](const Tensor& dy) -> Tensors {
                  return {summed_to(dy, sa), summed_to(affine("subtract", dy, -1, 0), sb)};
                });
}

Tensor multiply(const Tensor& a, const Tensor& b) {
  return record(forward<Multiply>("multiply", a, b), "multiply", {a, b},
                [a = a.detach(), b = b.detach()](const Tensor& dy) -> Tensors {
                  return {summed_to(forward<Multiply>("multiply", dy, b), a.shape()),
                          summed_to(forward<Multiply>("multiply", dy, a), b.shape())};
                });
}

Tensor divide(const Tensor& a, const Tensor& b) {
  return record(
      forward<Divide>("divide", a, b), "divide", {a, b},
      [a = a.detach(), b = b.detach()](const Tensor& dy) -> Tensors {
        const Tensor da = forward<Divide>("divide", dy, b);  // dy / b; and d(a/b)/db = -(dy / b) (a / b)
        const Tensor quotient = forward<Divide>("divide", a, b);
        return {summed_to(da, a.shape()),
                summed_to(affine("divide", forward<Multiply>("divide", da, quotient), -1, 0), b.shape())};
      });
}

Tensor add(const Tensor& a, double b) { return affine("add", a, 1, b); }
Tensor subtract(double a, const Tensor& b) { return affine("subtract", b, -1, a); }
Tensor multiply(const Tensor& a, double b) { return affine("multiply", a, b, 0); }

Tensor divide(double a, const Tensor& b) {
  const auto attributes = [&] { return Attributes{{"numerator", a}}; };
  return record(quotient(a, b), {"divide", attributes}, {b},
                [a, b = b.detach()](const Tensor& dy) -> Tensors {
                  return {forward<Multiply>("divide", forward<Divide>("divide", dy, b), quotient(-a, b))};
                });
}

}  // namespace fovea
