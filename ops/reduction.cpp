#include "ops/reduction.h"

#include "core/parallel.h"
#include "cuda/kernels/reduction.h"
#include "ops/support/dispatch.h"

namespace fovea {
namespace {

ReductionDims reduction_dims(const Shape& shape, int axis) {
  ReductionDims d;
  for (int i = 0; i < shape.rank(); ++i) (i < axis ? d.outer : i == axis ? d.count : d.inner) *= shape[i];
  return d;
}

template <class T>
void reduce_cpu(const T* x, T* y, double factor, const ReductionDims& d) {
  constexpr int64_t chunk = 4096;  // of `count`: partial sums are added in order on any number of threads
  const int64_t chunks = std::max<int64_t>(1, chunk_count(d.count, chunk));
  std::vector<double> partial(static_cast<size_t>(d.outer * chunks * d.inner));
  parallel_for(d.outer * chunks,
               std::max<int64_t>(1, 8192 / std::max<int64_t>(1, std::min(d.count, chunk) * d.inner)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t task = begin; task < end; ++task) {
                   const int64_t outer = task / chunks, first = task % chunks * chunk,
                                 last = std::min(d.count, first + chunk);
                   double* sums = partial.data() + task * d.inner;
                   for (int64_t k = first; k < last; ++k) {
                     const T* row = x + (outer * d.count + k) * d.inner;
                     for (int64_t i = 0; i < d.inner; ++i) sums[i] += double(row[i]);
                   }
                 }
               });
  for (int64_t outer = 0; outer < d.outer; ++outer)
    for (int64_t i = 0; i < d.inner; ++i) {
      double sum = 0;
      for (int64_t k = 0; k < chunks; ++k) sum += partial[size_t((outer * chunks + k) * d.inner + i)];
      y[outer * d.inner + i] = T(sum * factor);
    }
}

template <class T>
void repeat_cpu(const T* dy, T* dx, double factor, const ReductionDims& d) {
  parallel_for(d.outer * d.count, std::max<int64_t>(1, 8192 / std::max<int64_t>(1, d.inner)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t row = begin; row < end; ++row)
                   for (int64_t i = 0; i < d.inner; ++i)
                     dx[row * d.inner + i] = T(double(dy[row / d.count * d.inner + i]) * factor);
               });
}

Tensor reduce(const char* op, const Tensor& x, const ReductionDims& d, Shape shape, bool mean) {
  require(!mean || d.count > 0, "[{}] x is {}: it has no numbers to take the mean of", op, x.shape());
  const double factor = mean ? 1.0 / double(d.count) : 1.0;
  Tensor y(shape, x.dtype(), x.device());
  with_compute_dtype(x, op, [&]<class T>() {
    on<T>(x.device(), reduce_cpu<Accumulator<T>>, cuda::reduce<T>)(x.data<T>(), y.data<T>(), factor, d);
  });
  return record(y, op, {x}, [op, d, factor, from = x.shape()](const Tensor& dy) -> Tensors {
    Tensor dx(from, dy.dtype(), dy.device());
    with_compute_dtype(dy, op, [&]<class T>() {
      on<T>(dy.device(), repeat_cpu<Accumulator<T>>, cuda::repeat<T>)(dy.data<T>(), dx.data<T>(), factor, d);
    });
    return {dx};
  });
}

// The shape without the axis, or with 1 in its place.
Shape reduced_shape(Shape shape, int axis, bool keep_axis) {
  if (!keep_axis) return shape.without(axis);
  shape.set(axis, 1);
  return shape;
}

Tensor reduce_axis(const char* op, const Tensor& x, int axis, bool keep_axis, bool mean) {
  const int positive = x.shape().axis(axis);
  return reduce(op, x, reduction_dims(x.shape(), positive), reduced_shape(x.shape(), positive, keep_axis),
                mean);
}

template <class T>
void max_cpu(const T* x, T* y, int64_t* index, const ReductionDims& d) {
  parallel_for(d.outer, std::max<int64_t>(1, 8192 / std::max<int64_t>(1, d.count * d.inner)),
               [=](int64_t begin, int64_t end) {
                 std::vector<Candidate<T>> best(static_cast<size_t>(d.inner));
                 for (int64_t outer = begin; outer < end; ++outer) {
                   const T* row = x + outer * d.count * d.inner;
                   for (int64_t i = 0; i < d.inner; ++i) best[size_t(i)] = {row[i], 0};
                   for (int64_t k = 1; k < d.count; ++k)
                     for (int64_t i = 0; i < d.inner; ++i) {
                       const Candidate<T> next{row[k * d.inner + i], k};
                       if (next.beats(best[size_t(i)])) best[size_t(i)] = next;
                     }
                   for (int64_t i = 0; i < d.inner; ++i) {
                     index[outer * d.inner + i] = best[size_t(i)].index;
                     if (y) y[outer * d.inner + i] = best[size_t(i)].value;
                   }
                 }
               });
}

template <class T>
void max_backward_cpu(const T* dy, const int64_t* index, T* dx, const ReductionDims& d) {
  parallel_for(d.outer * d.count, std::max<int64_t>(1, 8192 / std::max<int64_t>(1, d.inner)),
               [=](int64_t begin, int64_t end) {
                 for (int64_t row = begin; row < end; ++row)
                   for (int64_t i = 0; i < d.inner; ++i) {
                     const int64_t at = row / d.count * d.inner + i;
                     dx[row * d.inner + i] = index[at] == row % d.count ? dy[at] : T(0);
                   }
               });
}

// The indices of the maxima along the axis, in the shape given; their values go to `largest` if defined.
Tensor find_maxima(const char* op, const Tensor& x, int axis, const Shape& shape, const Tensor& largest) {
  require(x.size(axis) > 0, "[{}] axis {} of {} is empty: there is no largest number", op, axis, x.shape());
  Tensor index(shape, DType::int64, x.device());
  with_compute_dtype(x, op, [&]<class T>() {
    on<T>(x.device(), max_cpu<Accumulator<T>>, cuda::max<T>)(
        x.data<T>(), largest.defined() ? largest.data<T>() : nullptr, index.data<int64_t>(),
        reduction_dims(x.shape(), axis));
  });
  return index;
}

}  // namespace

Tensor sum(const Tensor& x) { return reduce("sum", x, {1, x.numel(), 1}, {}, false); }
Tensor sum(const Tensor& x, int axis, bool keep_axis) {
  return reduce_axis("sum", x, axis, keep_axis, false);
}
Tensor mean(const Tensor& x) { return reduce("mean", x, {1, x.numel(), 1}, {}, true); }
Tensor mean(const Tensor& x, int axis, bool keep_axis) {
  return reduce_axis("mean", x, axis, keep_axis, true);
}

Tensor global_average_pool(const Tensor& x) {
  require(x.rank() == 4 && x.size(1) * x.size(2) > 0,
          "[global_average_pool] x is {}: it must be (N, H, W, C) with pixels", x.shape());
  const int64_t n = x.size(0), channels = x.size(3);
  return reduce("global_average_pool", x, {n, x.size(1) * x.size(2), channels}, {n, channels}, true);
}

Tensor max(const Tensor& x, int axis, bool keep_axis) {
  const int positive = x.shape().axis(axis);
  const Tensor y(reduced_shape(x.shape(), positive, keep_axis), x.dtype(), x.device());
  const Tensor index = find_maxima("max", x, positive, y.shape(), y);
  const auto attributes = [&] { return Attributes{{"axis", positive}}; };
  return record(y, {"max", attributes}, {x},
                [index, positive, from = x.shape()](const Tensor& dy) -> Tensors {
                  Tensor dx(from, dy.dtype(), dy.device());
                  with_compute_dtype(dy, "max", [&]<class T>() {
                    on<T>(dy.device(), max_backward_cpu<Accumulator<T>>, cuda::max_backward<T>)(
                        dy.data<T>(), index.data<int64_t>(), dx.data<T>(), reduction_dims(from, positive));
                  });
                  return {dx};
                });
}

Tensor argmax(const Tensor& x, int axis) {
  require_no_gradient("argmax", "x", x);
  const int positive = x.shape().axis(axis);
  const Tensor index = find_maxima("argmax", x, positive, x.shape().without(positive), {});
  const auto attributes = [&] { return Attributes{{"axis", positive}}; };
  return record(index, {"argmax", attributes}, {x}, {});
}

}  // namespace fovea
