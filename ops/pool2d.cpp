#include "ops/pool2d.h"

#include "core/parallel.h"
#include "cuda/kernels/pool2d.h"
#include "ops/support/attributes.h"
#include "ops/support/dispatch.h"
#include "ops/support/pooling.h"

namespace fovea {
namespace {

// The minimum number of rows of pixels that a thread takes.
int64_t row_grain(int64_t width, int64_t channels) {
  return std::max<int64_t>(1, 8192 / std::max<int64_t>(1, width * channels));
}

template <class T>
void max_pool2d_cpu(const T* x, T* y, const Pool2dDims& d) {
  const PoolAxis &v = d.vertical, &h = d.horizontal;
  const int64_t image = int64_t(v.in) * h.in * d.channels;
  parallel_for(d.batch * v.out, row_grain(h.out, d.channels), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      for (int column = 0; column < h.out; ++column) {
        T* to = y + (row * h.out + column) * d.channels;
        for_largest(x + row / v.out * image, v, h, d.channels, int(row % v.out), column,
                    [&](int64_t c0, const T* best, int64_t count) { std::copy_n(best, count, to + c0); });
      }
  });
}

template <class T>
void max_pool2d_backward_cpu(const T* x, const T* dy, T* dx, const Pool2dDims& d) {
  const int64_t inputs = d.inputs() / std::max<int64_t>(1, d.batch),
                outputs = d.outputs() / std::max<int64_t>(1, d.batch);
  parallel_for(d.batch, 1, [&](int64_t begin, int64_t end) {
    std::fill(dx + begin * inputs, dx + end * inputs, T(0));
    for (int64_t n = begin; n < end; ++n)
      max_pool_backward_image(x + n * inputs, dy + n * outputs, d.vertical, d.horizontal, d.channels, T(1),
                              dx + n * inputs);
  });
}

template <class T>
void average_pool2d_cpu(const T* x, T* y, const Pool2dDims& d) {
  const PoolAxis &v = d.vertical, &h = d.horizontal;
  parallel_for(d.batch * v.out, row_grain(h.out, d.channels), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      for (int column = 0; column < h.out; ++column) {
        const int out = int(row % v.out);
        T* to = y + (row * h.out + column) * d.channels;
        std::fill_n(to, d.channels, T(0));
        for (int i = v.begin(out); i < v.end(out); ++i)
          for (int j = h.begin(column); j < h.end(column); ++j) {
            const T* pixel = x + ((row / v.out * v.in + i) * h.in + j) * d.channels;
            for (int c = 0; c < d.channels; ++c) to[c] += pixel[c];
          }
        const T count = T((v.end(out) - v.begin(out)) * (h.end(column) - h.begin(column)));
        for (int c = 0; c < d.channels; ++c) to[c] /= count;
      }
  });
}

template <class T>
void average_pool2d_backward_cpu(const T* dy, T* dx, const Pool2dDims& d) {
  const PoolAxis &v = d.vertical, &h = d.horizontal;
  parallel_for(d.batch * v.in, row_grain(h.in, d.channels), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      for (int column = 0; column < h.in; ++column) {
        const int in = int(row % v.in);
        T* to = dx + (row * h.in + column) * d.channels;
        std::fill_n(to, d.channels, T(0));
        for (int i = v.first_window(in); i < v.end_window(in); ++i)
          for (int j = h.first_window(column); j < h.end_window(column); ++j) {
            const T* gradient = dy + ((row / v.in * v.out + i) * h.out + j) * d.channels;
            const T count = T((v.end(i) - v.begin(i)) * (h.end(j) - h.begin(j)));
            for (int c = 0; c < d.channels; ++c) to[c] += gradient[c] / count;
          }
      }
  });
}

PoolAxis axis_of(const char* op, int64_t in, const Window& window) {
  const int padding = window.padding.number;  // the named rules never exceed half the kernel
  require(padding >= 0 && padding <= window.kernel / 2, "[{}] padding {} must be 0 to half the kernel, {}",
          op, padding, window.kernel);
  require(window.output_size(in) > 0,
          "[{}] the kernel of {} is larger than an axis of {} pixels and its padding", op, window.kernel, in);
  return pool_axis(window, in, window.output_size(in));
}

Pool2dDims pool2d_dims(const char* op, const Tensor& x, const Window& window) {
  require(x.rank() == 4 && x.size(1) > 0 && x.size(2) > 0,
          "[{}] x is {}: it must be (N, H, W, C) with pixels", op, x.shape());
  require(window.kernel >= 1 && window.kernel <= 255 && window.stride >= 1,
          "[{}] kernel {} must be 1 to 255, stride {} at least 1", op, window.kernel, window.stride);
  return {x.size(0), axis_of(op, x.size(1), window), axis_of(op, x.size(2), window), int(x.size(3))};
}

Tensor pooled_like(const Tensor& x, const Pool2dDims& d) {
  return Tensor({d.batch, d.vertical.out, d.horizontal.out, d.channels}, x.dtype(), x.device());
}

}  // namespace

Tensor max_pool2d(const Tensor& x, const Window& window) {
  const Pool2dDims d = pool2d_dims("max_pool2d", x, window);
  Tensor y = pooled_like(x, d);
  with_compute_dtype(x, "max_pool2d", [&]<class T>() {
    on<T>(x.device(), max_pool2d_cpu<Accumulator<T>>, cuda::max_pool2d<T>)(x.data<T>(), y.data<T>(), d);
  });
  const auto attributes = [window] { return fovea::attributes(window); };
  return record(y, {"max_pool2d", attributes}, {x}, [x = x.detach(), d](const Tensor& dy) -> Tensors {
    Tensor dx = empty_like(x);
    with_compute_dtype(x, "max_pool2d", [&]<class T>() {
      on<T>(x.device(), max_pool2d_backward_cpu<Accumulator<T>>, cuda::max_pool2d_backward<T>)(
          x.data<T>(), dy.data<T>(), dx.data<T>(), d);
    });
    return {dx};
  });
}

Tensor max_pool2d(const Tensor& x, Padding padding) { return max_pool2d(x, Window{3, 2, padding}); }

Tensor average_pool2d(const Tensor& x, const Window& window) {
  const Pool2dDims d = pool2d_dims("average_pool2d", x, window);
  Tensor y = pooled_like(x, d);
  with_compute_dtype(x, "average_pool2d", [&]<class T>() {
    on<T>(x.device(), average_pool2d_cpu<Accumulator<T>>, cuda::average_pool2d<T>)(x.data<T>(), y.data<T>(),
                                                                                   d);
  });
  const auto attributes = [window] { return fovea::attributes(window); };
  return record(y, {"average_pool2d", attributes}, {x}, [from = x.shape(), d](const Tensor& dy) -> Tensors {
    Tensor dx(from, dy.dtype(), dy.device());
    with_compute_dtype(dy, "average_pool2d", [&]<class T>() {
      on<T>(dy.device(), average_pool2d_backward_cpu<Accumulator<T>>, cuda::average_pool2d_backward<T>)(
          dy.data<T>(), dx.data<T>(), d);
    });
    return {dx};
  });
}

}  // namespace fovea
