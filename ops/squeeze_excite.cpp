#include "ops/squeeze_excite.h"

#include "core/parallel.h"
#include "cuda/kernels/activation.h"
#include "cuda/kernels/squeeze_excite.h"
#include "ops/support/channel_rows.h"
#include "ops/support/dispatch.h"
#include "ops/support/gemm.h"

namespace fovea {
namespace {

// Calls f(n) for each image. Threads take whole images, so that what an image's first loop reads is in the
// cache for its second; if that would leave threads idle, the loops over its pixels run on all of them.
template <class F>
void for_images(int64_t batch, F&& f) {
  const bool enough = batch % num_threads() == 0 || batch >= 4 * num_threads();
  parallel_for(batch, enough ? 1 : batch, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) f(n);
  });
}

// to = from scale + shift for each pixel of one image, with a scale and a shift (channels) each.
template <class T>
void scale_pixels(const T* from, const T* scale, const T* shift, T* to, int64_t pixels, int64_t channels) {
  const RowGroup group(channels);
  const std::vector<T> scales = group.repeat<T>(scale), shifts = group.repeat<T>(shift);
  const T *factor = scales.data(), *term = shifts.data();
  parallel_chunks(pixels, chunk_rows(channels), [&](int64_t, int64_t begin, int64_t end) {
    group.each(end - begin, [&](int64_t at, int64_t length) {
      const T* number = from + begin * channels + at;
      T* result = to + begin * channels + at;
#pragma omp simd
      for (int64_t j = 0; j < length; ++j) result[j] = number[j] * factor[j] + term[j];
    });
  });
}

template <class T>
void squeeze_excite_cpu(const T* x, T* y, const SqueezeExcite<T>& se) {
  const int64_t channels = se.channels, reduced = se.reduced, size = se.pixels * channels;
  const std::vector<T> no_shift(static_cast<size_t>(channels));
  for_images(se.batch, [&](int64_t n) {
    T *pooled = se.pooled + n * channels, *hidden = se.hidden + n * reduced, *gate = se.gate + n * channels;
    std::vector<T> activated(static_cast<size_t>(reduced));
    const T* image = x + n * size;
    column_sums<T>(
        se.pixels, channels, 1.0 / double(se.pixels), [image](int64_t i) { return image[i]; }, pooled);
    block_product(1, reduced, channels, pooled, se.w_reduce, hidden);
    for (int64_t j = 0; j < reduced; ++j) {
      hidden[j] += se.b_reduce[j];
      activated[size_t(j)] = Swish::forward(hidden[j]);
    }
    block_product(1, channels, reduced, activated.data(), se.w_expand, gate);
    for (int64_t c = 0; c < channels; ++c) gate[c] = Sigmoid::forward(gate[c] + se.b_expand[c]);
    scale_pixels(x + n * size, gate, no_shift.data(), y + n * size, se.pixels, channels);
  });
}

template <class T>
void squeeze_excite_backward_cpu(const T* x, const T* dy, T* dx, const SqueezeExcite<T>& se,
                                 const SqueezeExciteGradients<T>& gradients) {
  const int64_t channels = se.channels, reduced = se.reduced, size = se.pixels * channels;
  // For all images: the gradients before the sigmoid and before the swish, and the output of the swish.
  std::vector<T> logits(size_t(se.batch * channels)), hiddens(size_t(se.batch * reduced)), activated(hiddens);
  for_images(se.batch, [&](int64_t n) {
    const T *gate = se.gate + n * channels, *hidden = se.hidden + n * reduced;
    T *logit = logits.data() + n * channels, *dhidden = hiddens.data() + n * reduced;
    std::vector<T> dpooled(static_cast<size_t>(channels));
    const auto product = [image = x + n * size, dimage = dy + n * size](int64_t i) {
      return image[i] * dimage[i];
    };
    column_sums<T>(se.pixels, channels, 1.0, product, logit);
    for (int64_t c = 0; c < channels; ++c) logit[c] *= gate[c] * (T(1) - gate[c]);
    block_product(reduced, 1, channels, se.w_expand, logit, dhidden);
    for (int64_t j = 0; j < reduced; ++j) {
      dhidden[j] *= Swish::derivative(hidden[j]);
      activated[size_t(n * reduced + j)] = Swish::forward(hidden[j]);
    }
    block_product(channels, 1, reduced, se.w_reduce, dhidden, dpooled.data());
    for (T& number : dpooled) number /= T(se.pixels);
    scale_pixels(dy + n * size, gate, dpooled.data(), dx + n * size, se.pixels, channels);
  });
  gemm_tn<T>(channels, reduced, se.batch, se.pooled, hiddens.data(), gradients.w_reduce);
  gemm_tn<T>(reduced, channels, se.batch, activated.data(), logits.data(), gradients.w_expand);
  const auto add_images = [&](const std::vector<T>& of_images, int64_t length, T* sum) {
    std::fill_n(sum, length, T(0));
    for (int64_t i = 0; i < se.batch * length; ++i) sum[i % length] += of_images[size_t(i)];
  };
  add_images(hiddens, reduced, gradients.b_reduce);
  add_images(logits, channels, gradients.b_expand);
}

}  // namespace

Tensor squeeze_excite(const Tensor& x, const Tensor& w_reduce, const Tensor& b_reduce, const Tensor& w_expand,
                      const Tensor& b_expand) {
  require(
      x.rank() == 4 && x.size(1) * x.size(2) > 0 && x.size(3) > 0 && b_reduce.numel() > 0,
      "[squeeze_excite] x is {}: it must be (N, H, W, C) with pixels and channels, and b_reduce {} not empty",
      x.shape(), b_reduce.shape());
  const DType dtype = accumulator_dtype(x.dtype());
  const int64_t batch = x.size(0), channels = x.size(3), reduced = b_reduce.numel();
  const auto check = [&](const char* name, const Tensor& layer, const Shape& shape) {
    require(layer.shape() == shape && layer.dtype() == dtype,
            "[squeeze_excite] {} must be {} of {} for x {} and b_reduce {}, got {} of {}", name, dtype, shape,
            x.shape(), b_reduce.shape(), layer.dtype(), layer.shape());
  };
  check("w_reduce", w_reduce, {channels, reduced});
  check("b_reduce", b_reduce, {reduced});
  check("w_expand", w_expand, {reduced, channels});
  check("b_expand", b_expand, {channels});
  require_one_device("squeeze_excite", {x, w_reduce, b_reduce, w_expand, b_expand});
  const Tensors layers{w_reduce.detach(), b_reduce.detach(), w_expand.detach(), b_expand.detach()};
  const Tensor pooled({batch, channels}, dtype, x.device()), hidden({batch, reduced}, dtype, x.device());
  const Tensor gate = empty_like(pooled);
  const auto of = [=, pixels = x.size(1) * x.size(2)]<class R>(R) {
    return SqueezeExcite<R>{batch,
                            pixels,
                            channels,
                            reduced,
                            layers[0].data<R>(),
                            layers[1].data<R>(),
                            layers[2].data<R>(),
                            layers[3].data<R>(),
                            pooled.data<R>(),
                            hidden.data<R>(),
                            gate.data<R>()};
  };
  Tensor y = empty_like(x);
  with_compute_dtype(x, "squeeze_excite", [&]<class T>() {
    using R = Accumulator<T>;
    on<T>(x.device(), squeeze_excite_cpu<R>, cuda::squeeze_excite<T>)(x.data<T>(), y.data<T>(), of(R()));
  });
  return record(y, "squeeze_excite", {x, w_reduce, b_reduce, w_expand, b_expand},
                [x = x.detach(), layers, of](const Tensor& dy) -> Tensors {
                  Tensors d{empty_like(x)};  // the gradient of x, then those of the layers
                  for (const Tensor& layer : layers) d.push_back(empty_like(layer));
                  with_compute_dtype(x, "squeeze_excite", [&]<class T>() {
                    using R = Accumulator<T>;
                    on<T>(x.device(), squeeze_excite_backward_cpu<R>, cuda::squeeze_excite_backward<T>)(
                        x.data<T>(), dy.data<T>(), d[0].data<T>(), of(R()),
                        {d[1].data<R>(), d[2].data<R>(), d[3].data<R>(), d[4].data<R>()});
                  });
                  return d;
                });
}

}  // namespace fovea
