#include "ops/squeeze_excite.h"

#include "ops/support/channel_rows.h"
#include "ops/support/dispatch.h"
#include "ops/support/squeeze_excite_layers.h"

namespace fovea {
namespace {

template <class T>
void squeeze_excite_cpu(const T* x, T* y, const SqueezeExcite<T>& se) {
  const int64_t channels = se.channels, size = se.pixels * channels;
  const std::vector<T> no_shift(static_cast<size_t>(channels));
  for_images(se.batch, [&](int64_t n) {
    const T* image = x + n * size;
    column_sums<T>(
        se.pixels, channels, 1.0 / double(se.pixels), [image](int64_t i) { return image[i]; },
        se.pooled + n * channels);
    squeeze_excite_gate(se, n);
    scale_pixels(image, se.gate + n * channels, no_shift.data(), y + n * size, se.pixels, channels);
  });
}

template <class T>
void squeeze_excite_backward_cpu(const T* x, const T* dy, T* dx, const SqueezeExcite<T>& se,
                                 const SqueezeExciteGradients<T>& gradients) {
  const int64_t channels = se.channels, size = se.pixels * channels;
  SqueezeExciteLayerGradients<T> layers(se);
  for_images(se.batch, [&](int64_t n) {
    std::vector<T> sums(static_cast<size_t>(channels)), through_means(sums);
    const auto product = [image = x + n * size, dimage = dy + n * size](int64_t i) {
      return image[i] * dimage[i];
    };
    column_sums<T>(se.pixels, channels, 1.0, product, sums.data());
    layers.image(n, sums.data(), through_means.data());
    scale_pixels(dy + n * size, se.gate + n * channels, through_means.data(), dx + n * size, se.pixels,
                 channels);
  });
  layers.finish(gradients);
}

}  // namespace

Tensor squeeze_excite(const Tensor& x, const Tensor& w_reduce, const Tensor& b_reduce, const Tensor& w_expand,
                      const Tensor& b_expand) {
  const SqueezeExciteTensors se("squeeze_excite", x, {w_reduce, b_reduce, w_expand, b_expand});
  Tensor y = empty_like(x);
  with_compute_dtype(x, "squeeze_excite", [&]<class T>() {
    using R = Accumulator<T>;
    on<T>(x.device(), squeeze_excite_cpu<R>, cuda::squeeze_excite<T>)(x.data<T>(), y.data<T>(),
                                                                      se.pointers<R>());
  });
  return record(y, "squeeze_excite", {x, w_reduce, b_reduce, w_expand, b_expand},
                [x = x.detach(), se](const Tensor& dy) -> Tensors {
                  Tensors d{empty_like(x)};  // the gradient of x, then those of the layers
                  for (const Tensor& layer : se.layers) d.push_back(empty_like(layer));
                  with_compute_dtype(x, "squeeze_excite", [&]<class T>() {
                    using R = Accumulator<T>;
                    on<T>(x.device(), squeeze_excite_backward_cpu<R>, cuda::squeeze_excite_backward<T>)(
                        x.data<T>(), dy.data<T>(), d[0].data<T>(), se.pointers<R>(),
                        {d[1].data<R>(), d[2].data<R>(), d[3].data<R>(), d[4].data<R>()});
                  });
                  return d;
                });
}

}  // namespace fovea
