#include "ops/support/squeeze_excite_layers.h"

#include <algorithm>

#include "cuda/kernels/activation.h"
#include "ops/support/channel_rows.h"
#include "ops/support/dispatch.h"
#include "ops/support/gemm.h"

namespace fovea {

SqueezeExciteTensors::SqueezeExciteTensors(const char* op, const Tensor& x, const Tensors& given) {
  const Tensor& b_reduce = given[1];
  require(x.rank() == 4 && x.size(1) * x.size(2) > 0 && x.size(3) > 0 && b_reduce.numel() > 0,
          "[{}] x is {}: it must be (N, H, W, C) with pixels and channels, and b_reduce {} not empty", op,
          x.shape(), b_reduce.shape());
  const DType dtype = accumulator_dtype(x.dtype());
  batch = x.size(0);
  pixels = x.size(1) * x.size(2);
  channels = x.size(3);
  reduced = b_reduce.numel();
  const char* const names[] = {"w_reduce", "b_reduce", "w_expand", "b_expand"};
  const Shape shapes[] = {{channels, reduced}, {reduced}, {reduced, channels}, {channels}};
  for (size_t i = 0; i < 4; ++i) {
    require(given[i].shape() == shapes[i] && given[i].dtype() == dtype,
            "[{}] {} must be {} of {} for x {} and b_reduce {}, got {} of {}", op, names[i], dtype, shapes[i],
            x.shape(), b_reduce.shape(), given[i].dtype(), given[i].shape());
    layers.push_back(given[i].detach());
  }
  require_one_device(op, {x, given[0], given[1], given[2], given[3]});
  pooled = empty({batch, channels}, dtype, x.device());
  hidden = empty({batch, reduced}, dtype, x.device());
  gate = empty_like(pooled);
}

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
void squeeze_excite_gate(const SqueezeExcite<T>& se, int64_t n) {
  T *hidden = se.hidden + n * se.reduced, *gate = se.gate + n * se.channels;
  std::vector<T> activated(static_cast<size_t>(se.reduced));
  block_product(1, se.reduced, se.channels, se.pooled + n * se.channels, se.w_reduce, hidden);
  for (int64_t j = 0; j < se.reduced; ++j) {
    hidden[j] += se.b_reduce[j];
    activated[size_t(j)] = Swish::forward(hidden[j]);
  }
  block_product(1, se.channels, se.reduced, activated.data(), se.w_expand, gate);
  for (int64_t c = 0; c < se.channels; ++c) gate[c] = Sigmoid::forward(gate[c] + se.b_expand[c]);
}

template <class T>
SqueezeExciteLayerGradients<T>::SqueezeExciteLayerGradients(const SqueezeExcite<T>& se)
    : se_(se),
      logits_(size_t(se.batch * se.channels)),
      hiddens_(size_t(se.batch * se.reduced)),
      activated_(hiddens_) {}

template <class T>
void SqueezeExciteLayerGradients<T>::image(int64_t n, const T* sums, T* through_means) {
  const T *gate = se_.gate + n * se_.channels, *hidden = se_.hidden + n * se_.reduced;
  T *logit = logits_.data() + n * se_.channels, *dhidden = hiddens_.data() + n * se_.reduced;
  for (int64_t c = 0; c < se_.channels; ++c) logit[c] = sums[c] * (gate[c] * (T(1) - gate[c]));
  block_product(se_.reduced, 1, se_.channels, se_.w_expand, logit, dhidden);
  for (int64_t j = 0; j < se_.reduced; ++j) {
    dhidden[j] *= Swish::derivative(hidden[j]);
    activated_[size_t(n * se_.reduced + j)] = Swish::forward(hidden[j]);
  }
  block_product(se_.channels, 1, se_.reduced, se_.w_reduce, dhidden, through_means);
  for (int64_t c = 0; c < se_.channels; ++c) through_means[c] /= T(se_.pixels);
}

template <class T>
void SqueezeExciteLayerGradients<T>::finish(const SqueezeExciteGradients<T>& to) const {
  gemm_tn<T>(se_.channels, se_.reduced, se_.batch, se_.pooled, hiddens_.data(), to.w_reduce);
  gemm_tn<T>(se_.reduced, se_.channels, se_.batch, activated_.data(), logits_.data(), to.w_expand);
  const auto add_images = [&](const std::vector<T>& of_images, int64_t length, T* sum) {
    std::fill_n(sum, length, T(0));
    for (int64_t i = 0; i < se_.batch * length; ++i) sum[i % length] += of_images[size_t(i)];
  };
  add_images(hiddens_, se_.reduced, to.b_reduce);
  add_images(logits_, se_.channels, to.b_expand);
}

#define INSTANTIATE(T)                                                            \
  template void scale_pixels(const T*, const T*, const T*, T*, int64_t, int64_t); \
  template void squeeze_excite_gate(const SqueezeExcite<T>&, int64_t);            \
  template class SqueezeExciteLayerGradients<T>;
INSTANTIATE(float)
INSTANTIATE(double)

}  // namespace fovea
