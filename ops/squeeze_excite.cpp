#include "ops/squeeze_excite.h"

#include "core/parallel.h"
#include "cuda/kernels/squeeze_excite.h"
#include "ops/support/channel_rows.h"
#include "ops/support/dispatch.h"

namespace fovea {
namespace {

int64_t chunks_of_image(const ImageDims& d) { return chunk_count(d.pixels, chunk_rows(d.channels)); }

// Calls f(image, chunk, first pixel, pixels) for fixed pieces of each image, on all threads.
template <class F>
void for_image_chunks(const ImageDims& d, F&& f) {
  const int64_t chunk = chunk_rows(d.channels), chunks = chunks_of_image(d);
  parallel_for(d.batch * chunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t n = i / chunks, first = i % chunks * chunk;
      f(n, i % chunks, first, std::min(chunk, d.pixels - first));
    }
  });
}

template <class T>
void sum_chunks(const std::vector<double>& partial, const ImageDims& d, double factor, T* sums) {
  const int64_t chunks = chunks_of_image(d);
  for (int64_t n = 0; n < d.batch; ++n)
    for (int64_t c = 0; c < d.channels; ++c) {
      double sum = 0;
      for (int64_t k = 0; k < chunks; ++k) sum += partial[size_t((n * chunks + k) * d.channels + c)];
      sums[n * d.channels + c] = T(sum * factor);
    }
}

template <class T>
void global_average_pool_cpu(const T* x, T* y, const ImageDims& d) {
  const RowGroup group(d.channels);
  const int64_t chunks = chunks_of_image(d);
  std::vector<double> partial(static_cast<size_t>(d.batch * chunks * d.channels));
  for_image_chunks(d, [&](int64_t n, int64_t k, int64_t first, int64_t count) {
    std::vector<T> sum(static_cast<size_t>(group.width()));
    const T* from = x + (n * d.pixels + first) * d.channels;
    T* s = sum.data();
    group.each(count, [&](int64_t at, int64_t length) {
      for (int64_t j = 0; j < length; ++j) s[j] += from[at + j];
    });
    group.fold(sum, partial.data() + (n * chunks + k) * d.channels);
  });
  sum_chunks(partial, d, 1.0 / double(d.pixels), y);
}

// to[pixel, c] = s[c] (x[pixel, c], or 1 where x is null) for each image: scaling, and the gradient of the
// mean.
template <class T>
void scale_cpu(const T* x, const T* s, T* to, const ImageDims& d) {
  const RowGroup group(d.channels);
  for_image_chunks(d, [&](int64_t n, int64_t, int64_t first, int64_t count) {
    const std::vector<T> repeated = group.repeat<T>(s + n * d.channels);
    const T* scale = repeated.data();
    const int64_t start = (n * d.pixels + first) * d.channels;
    group.each(count, [&](int64_t at, int64_t length) {
      if (x)
        for (int64_t j = 0; j < length; ++j) to[start + at + j] = x[start + at + j] * scale[j];
      else
        for (int64_t j = 0; j < length; ++j) to[start + at + j] = scale[j];
    });
  });
}

template <class T>
void global_average_pool_backward_cpu(const T* dy, T* dx, const ImageDims& d) {
  std::vector<T> share(static_cast<size_t>(d.batch * d.channels));
  for (size_t i = 0; i < share.size(); ++i) share[i] = dy[i] / T(d.pixels);
  scale_cpu<T>(nullptr, share.data(), dx, d);
}

template <class T>
void scale_channels_backward_cpu(const T* x, const T* s, const T* dy, T* dx, T* ds, const ImageDims& d) {
  const RowGroup group(d.channels);
  const int64_t chunks = chunks_of_image(d);
  std::vector<double> partial(static_cast<size_t>(d.batch * chunks * d.channels));
  for_image_chunks(d, [&](int64_t n, int64_t k, int64_t first, int64_t count) {
    const std::vector<T> repeated = group.repeat<T>(s + n * d.channels);
    std::vector<T> sum(static_cast<size_t>(group.width()));
    const T* scale = repeated.data();
    T* q = sum.data();
    const int64_t start = (n * d.pixels + first) * d.channels;
    group.each(count, [&](int64_t at, int64_t length) {
      const T *from = x + start + at, *gradient = dy + start + at;
      T* to = dx + start + at;
#pragma omp simd
      for (int64_t j = 0; j < length; ++j) {
        to[j] = gradient[j] * scale[j];
        q[j] += gradient[j] * from[j];
      }
    });
    group.fold(sum, partial.data() + (n * chunks + k) * d.channels);
  });
  sum_chunks(partial, d, 1.0, ds);
}

ImageDims image_dims(const char* op, const Tensor& x) {
  require(x.rank() == 4 && x.size(1) > 0 && x.size(2) > 0,
          "[{}] x is {}, it must be (N, H, W, C) with pixels", op, x.shape());
  return {x.size(0), x.size(1) * x.size(2), x.size(3)};
}

}  // namespace

Tensor global_average_pool(const Tensor& x) {
  const ImageDims d = image_dims("global_average_pool", x);
  Tensor y({d.batch, d.channels}, x.dtype(), x.device());
  with_compute_dtype(x, "global_average_pool", [&]<class T>() {
    on<T>(x.device(), global_average_pool_cpu<Accumulator<T>>, cuda::global_average_pool<T>)(x.data<T>(),
                                                                                             y.data<T>(), d);
  });
  return record(y, "global_average_pool", {x}, [shape = x.shape(), d](const Tensor& dy) -> Tensors {
    Tensor dx(shape, dy.dtype(), dy.device());
    with_compute_dtype(dy, "global_average_pool", [&]<class T>() {
      on<T>(dy.device(), global_average_pool_backward_cpu<Accumulator<T>>,
            cuda::global_average_pool_backward<T>)(dy.data<T>(), dx.data<T>(), d);
    });
    return {dx};
  });
}

Tensor scale_channels(const Tensor& x, const Tensor& s) {
  const ImageDims d = image_dims("scale_channels", x);
  require(s.shape() == Shape({d.batch, d.channels}) && s.dtype() == x.dtype(),
          "[scale_channels] s must be {} of {}x{} for x {}, got {} of {}", x.dtype(), d.batch, d.channels,
          x.shape(), s.dtype(), s.shape());
  require_one_device("scale_channels", {x, s});
  Tensor y = empty_like(x);
  with_compute_dtype(x, "scale_channels", [&]<class T>() {
    on<T>(x.device(), scale_cpu<Accumulator<T>>, cuda::scale_channels<T>)(x.data<T>(), s.data<T>(),
                                                                          y.data<T>(), d);
  });
  return record(
      y, "scale_channels", {x, s}, [x = x.detach(), s = s.detach(), d](const Tensor& dy) -> Tensors {
        Tensor dx = empty_like(x), ds = empty_like(s);
        with_compute_dtype(x, "scale_channels", [&]<class T>() {
          on<T>(x.device(), scale_channels_backward_cpu<Accumulator<T>>, cuda::scale_channels_backward<T>)(
              x.data<T>(), s.data<T>(), dy.data<T>(), dx.data<T>(), ds.data<T>(), d);
        });
        return {dx, ds};
      });
}

}  // namespace fovea
