#include "ops/shape_ops.h"

#include <cstring>

#include "core/parallel.h"
#include "cuda/kernels/shape_ops.h"
#include "ops/support/dispatch.h"

namespace fovea {
namespace {

// A tensor as `outer` rows of `bytes` each, seen from one axis.
struct Rows {
  int64_t outer = 1, bytes = 1;
  Rows(const Shape& shape, int axis, DType dtype) : bytes(size_of(dtype)) {
    for (int i = 0; i < shape.rank(); ++i) (i < axis ? outer : bytes) *= shape[i];
  }
};

void copy_rows_cpu(std::byte* to, int64_t to_step, const std::byte* from, int64_t from_step, int64_t bytes,
                   int64_t rows) {
  parallel_for(rows, std::max<int64_t>(1, 65536 / std::max<int64_t>(bytes, 1)),
               [=](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i)
                   std::memcpy(to + i * to_step, from + i * from_step, size_t(bytes));
               });
}

template <class From, class To>
void cast_cpu(const From* x, To* y, int64_t n) {
  parallel_for(n, 1 << 14, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = converted<To>(x[i]);
  });
}

void copy_rows(Device device, std::byte* to, int64_t to_step, const std::byte* from, int64_t from_step,
               int64_t bytes, int64_t rows) {
  on<std::byte>(device, copy_rows_cpu, cuda::copy_rows)(to, to_step, from, from_step, bytes, rows);
}

// Moves words of the size of an element, or of all of `inner` if that is no larger; d.inner counts bytes.
template <class Word>
void transpose_words(const std::byte* from, std::byte* to, const TransposeDims& d) {
  constexpr int64_t block = 32;  // rows and columns that stay in the first-level cache
  const int64_t inner = d.inner / int64_t(sizeof(Word)), b_blocks = chunk_count(d.b, block);
  const Word* x = reinterpret_cast<const Word*>(from);
  Word* y = reinterpret_cast<Word*>(to);
  parallel_for(d.outer * d.middle * b_blocks, 1, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first_b = i % b_blocks * block, last_b = std::min(first_b + block, d.b);
      const int64_t m = i / b_blocks % d.middle, outer = i / b_blocks / d.middle;
      for (int64_t first_a = 0; first_a < d.a; first_a += block)
        for (int64_t b = first_b; b < last_b; ++b)
          for (int64_t a = first_a; a < std::min(first_a + block, d.a); ++a) {
            const Word* source = x + (((outer * d.a + a) * d.middle + m) * d.b + b) * inner;
            std::copy_n(source, inner, y + (((outer * d.b + b) * d.middle + m) * d.a + a) * inner);
          }
    }
  });
}

void transpose_cpu(const std::byte* x, std::byte* y, const TransposeDims& d) {
  if (d.inner % 8 == 0)
    transpose_words<uint64_t>(x, y, d);
  else if (d.inner % 4 == 0)
    transpose_words<uint32_t>(x, y, d);
  else if (d.inner % 2 == 0)
    transpose_words<uint16_t>(x, y, d);
  else
    transpose_words<uint8_t>(x, y, d);
}

}  // namespace

Tensor reshape(const Tensor& x, Shape shape) {
  return record(x.viewed_as(shape), "reshape", {x},
                [from = x.shape()](const Tensor& dy) -> Tensors { return {dy.viewed_as(from)}; });
}

Tensor concat(const Tensors& parts, int axis) {
  require(!parts.empty(), "[concat] there are no tensors");
  const Tensor& first = parts[0];
  const int positive = first.shape().axis(axis);
  Shape shape = first.shape();
  int64_t total = 0;
  for (const Tensor& part : parts) {
    require(part.rank() == first.rank() &&
                part.shape().without(positive) == first.shape().without(positive) &&
                part.dtype() == first.dtype(),
            "[concat] {} of {} and {} of {} differ in more than axis {}", first.dtype(), first.shape(),
            part.dtype(), part.shape(), axis);
    require_one_device("concat", {first, part});
    total += part.size(positive);
  }
  shape.set(positive, total);
  Tensor y(shape, first.dtype(), first.device());
  const Rows whole(shape, positive, y.dtype());
  int64_t offset = 0;
  std::vector<Shape> shapes;
  for (const Tensor& part : parts) {
    const Rows rows(part.shape(), positive, part.dtype());
    copy_rows(y.device(), y.raw() + offset, whole.bytes, part.raw(), rows.bytes, rows.bytes, rows.outer);
    offset += rows.bytes;
    shapes.push_back(part.shape());
  }
  const auto attributes = [&] { return Attributes{{"axis", positive}}; };
  return record(y, {"concat", attributes}, parts, [shapes, positive](const Tensor& dy) -> Tensors {
    Tensors gradients;
    int64_t begin = 0;
    for (const Shape& part : shapes) {
      gradients.push_back(slice(dy, positive, begin, begin + part[positive]));
      begin += part[positive];
    }
    return gradients;
  });
}

Tensor slice(const Tensor& x, int axis, int64_t begin, int64_t end) {
  const int positive = x.shape().axis(axis);
  require(0 <= begin && begin <= end && end <= x.size(positive),
          "[slice] {} to {} lies outside axis {} of {}", begin, end, axis, x.shape());
  Shape shape = x.shape();
  shape.set(positive, end - begin);
  Tensor y(shape, x.dtype(), x.device());
  const Rows whole(x.shape(), positive, x.dtype()), part(shape, positive, x.dtype());
  const int64_t offset = x.size(positive) ? whole.bytes / x.size(positive) * begin : 0;
  copy_rows(x.device(), y.raw(), part.bytes, x.raw() + offset, whole.bytes, part.bytes, part.outer);
  const auto attributes = [&] { return Attributes{{"axis", positive}, {"begin", begin}, {"end", end}}; };
  return record(
      y, {"slice", attributes}, {x}, [from = x.shape(), whole, part, offset](const Tensor& dy) -> Tensors {
        Tensor dx = zeros(from, dy.dtype(), dy.device());
        copy_rows(dy.device(), dx.raw() + offset, whole.bytes, dy.raw(), part.bytes, part.bytes, part.outer);
        return {dx};
      });
}

Tensor transpose(const Tensor& x, int a, int b) {
  const int first = std::min(x.shape().axis(a), x.shape().axis(b)),
            second = std::max(x.shape().axis(a), x.shape().axis(b));
  if (first == second) return x;
  TransposeDims d{.a = x.size(first), .b = x.size(second), .inner = size_of(x.dtype())};
  for (int i = 0; i < x.rank(); ++i)
    if (i != first && i != second) (i < first ? d.outer : i < second ? d.middle : d.inner) *= x.size(i);
  Shape shape = x.shape();
  shape.set(first, d.b);
  shape.set(second, d.a);
  Tensor y(shape, x.dtype(), x.device());
  on<std::byte>(x.device(), transpose_cpu, cuda::transpose)(x.raw(), y.raw(), d);
  const auto attributes = [&] { return Attributes{{"a", first}, {"b", second}}; };
  return record(y, {"transpose", attributes}, {x},
                [first, second](const Tensor& dy) -> Tensors { return {transpose(dy, first, second)}; });
}

Tensor cast(const Tensor& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  if (!is_floating(dtype)) require_no_gradient("cast", "a tensor converted to integers", x);
  Tensor y(x.shape(), dtype, x.device());
  with_dtype(x.dtype(), [&]<class From>() {
    with_dtype(dtype, [&]<class To>() {
      on<std::byte>(x.device(), cast_cpu<From, To>, cuda::cast<From, To>)(x.data<From>(), y.data<To>(),
                                                                          x.numel());
    });
  });
  return record(y, "cast", {x}, [from = x.dtype()](const Tensor& dy) -> Tensors { return {cast(dy, from)}; });
}

}  // namespace fovea
