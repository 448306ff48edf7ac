#include "ops/batch_norm_squeeze_excite.h"

#include "core/tape_observer.h"
#include "cuda/kernels/batch_norm_squeeze_excite.h"
#include "ops/squeeze_excite.h"
#include "ops/support/batch_norm_coefficients.h"
#include "ops/support/channel_rows.h"
#include "ops/support/dispatch.h"
#include "ops/support/squeeze_excite_layers.h"

namespace fovea {
namespace {

constexpr const char* name_of_op = "batch_norm_squeeze_excite";

template <class T>
void forward_cpu(const NormInputs& in, const NormCoefficients& c, const Tensor& result,
                 const SqueezeExciteTensors& tensors) {
  in.coefficients_cpu<T>(c);
  const SqueezeExcite<T> se = tensors.pointers<T>();
  const int64_t channels = se.channels, size = se.pixels * channels;
  const RowGroup group(channels);
  const std::vector<T> scales = group.repeat<T>(c.scale.data<T>()),
                       shifts = group.repeat<T>(c.shift.data<T>());
  const std::vector<T> no_shift(static_cast<size_t>(channels));
  for_images(se.batch, [&](int64_t n) {
    const T *x = in.x.data<T>() + n * size, *scale = scales.data(), *shift = shifts.data();
    T *y = result.data<T>() + n * size, *pooled = se.pooled + n * channels;
    const auto activate = [=](int64_t at, int64_t count, T* const(&sums)[1]) {
      T* const sum = sums[0];
#pragma omp simd
      for (int64_t j = 0; j < count; ++j) {
        const T u = Swish::forward(x[at + j] * scale[j] + shift[j]);
        y[at + j] = u;
        sum[j] += u;
      }
    };
    column_sums_of<1>(se.pixels, channels, 1, activate, pooled);
    for (int64_t i = 0; i < channels; ++i) pooled[i] = T(pooled[i] * (1.0 / double(se.pixels)));
    squeeze_excite_gate(se, n);
    scale_pixels(y, se.gate + n * channels, no_shift.data(), y, se.pixels, channels);
  });
}

template <class T>
void forward_cuda(const NormInputs& in, const NormCoefficients& c, const Tensor& y,
                  const SqueezeExciteTensors& se) {
  using R = Accumulator<T>;
  cuda::batch_norm_squeeze_excite<T>(in.x.data<T>(), in.table<R>(), in.options.training, c.pointers<R>(),
                                     in.given<R>(), y.data<T>(), se.pointers<R>());
}

// Gradients of the inputs but for the running averages: x, weight, bias, the four of the layers.
template <class T>
void backward_cpu(const Tensor& input, const Tensor& gradient, const NormCoefficients& c,
                  const BatchNormOptions& options, const SqueezeExciteTensors& tensors, const Tensors& d) {
  const SqueezeExcite<T> se = tensors.pointers<T>();
  const int64_t channels = se.channels, size = se.pixels * channels;
  const RowGroup group(channels);
  const std::vector<T> scales = group.repeat<T>(c.scale.data<T>()),
                       shifts = group.repeat<T>(c.shift.data<T>()), means = group.repeat<T>(c.mean.data<T>());
  SqueezeExciteLayerGradients<T> layers(se);
  // For each image: the gradient of u that comes through the means, and its sums of g and g (x - mean).
  std::vector<T> through_means(size_t(se.batch * channels));
  std::vector<double> of_images(size_t(2 * se.batch * channels));
  for_images(se.batch, [&](int64_t n) {
    const T *x = input.data<T>() + n * size, *dy = gradient.data<T>() + n * size;
    const T *scale = scales.data(), *shift = shifts.data(), *mean = means.data();
    T* derivative = d[0].data<T>() + n * size;  // kept for the second pass, where dx will be
    std::vector<T> sums(size_t(5 * channels));
    const auto add = [=](int64_t at, int64_t count, T* const(&to)[5]) {
      T *gated = to[0], *direct = to[1], *mean_only = to[2], *direct_x = to[3], *mean_x = to[4];
#pragma omp simd
      for (int64_t j = 0; j < count; ++j) {
        const T value = x[at + j], z = value * scale[j] + shift[j], from_mean = value - mean[j];
        const T s = Sigmoid::forward(z), u = z * s, slope = s + u * (T(1) - s), product = dy[at + j] * slope;
        derivative[at + j] = slope;
        gated[j] += dy[at + j] * u;
        direct[j] += product;
        mean_only[j] += slope;
        direct_x[j] += product * from_mean;
        mean_x[j] += slope * from_mean;
      }
    };
    column_sums_of<5>(se.pixels, channels, 1, add, sums.data());
    T* through = through_means.data() + n * channels;
    layers.image(n, sums.data(), through);
    const T* gate = se.gate + n * channels;
    double* g = of_images.data() + 2 * n * channels;
    for (int64_t i = 0; i < channels; ++i) {
      g[i] =
          double(gate[i]) * sums[size_t(channels + i)] + double(through[i]) * sums[size_t(2 * channels + i)];
      g[channels + i] = double(gate[i]) * sums[size_t(3 * channels + i)] +
                        double(through[i]) * sums[size_t(4 * channels + i)];
    }
  });
  layers.finish({d[3].data<T>(), d[4].data<T>(), d[5].data<T>(), d[6].data<T>()});
  T *sum_gx = d[1].data<T>(), *sum_g = d[2].data<T>();
  for (int64_t i = 0; i < channels; ++i) {
    double g = 0, gx = 0;
    for (int64_t n = 0; n < se.batch; ++n) {
      g += of_images[size_t(2 * n * channels + i)];
      gx += of_images[size_t((2 * n + 1) * channels + i)];
    }
    sum_g[i] = T(g);
    sum_gx[i] = T(gx);
  }
  std::vector<T> constant(static_cast<size_t>(channels)), slope(constant);
  batch_norm_gradient_terms(c.pointers<T>(), options, se.batch * se.pixels, channels, sum_g, sum_gx,
                            constant.data(), slope.data());
  const std::vector<T> constants = group.repeat<T>(constant.data()), slopes = group.repeat<T>(slope.data());
  for_images(se.batch, [&](int64_t n) {
    // dx = scale (dy gate + through means) swish'(z) - constant - x slope
    std::vector<T> factor(static_cast<size_t>(channels)), addend(factor);
    for (int64_t i = 0; i < channels; ++i) {
      factor[size_t(i)] = c.scale.data<T>()[i] * se.gate[n * channels + i];
      addend[size_t(i)] = c.scale.data<T>()[i] * through_means[size_t(n * channels + i)];
    }
    const std::vector<T> factors = group.repeat<T>(factor.data()), addends = group.repeat<T>(addend.data());
    parallel_chunks(se.pixels, chunk_rows(channels), [&](int64_t, int64_t begin, int64_t end) {
      const int64_t first = n * size + begin * channels;
      const T *x = input.data<T>() + first, *dy = gradient.data<T>() + first;
      const T *a = factors.data(), *b = addends.data(), *u = constants.data(), *v = slopes.data();
      T* dx = d[0].data<T>() + first;
      group.each(end - begin, [=](int64_t at, int64_t count) {
#pragma omp simd
        for (int64_t j = 0; j < count; ++j)
          dx[at + j] = (dy[at + j] * a[j] + b[j]) * dx[at + j] - u[j] - x[at + j] * v[j];
      });
    });
  });
}

template <class T>
void backward_cuda(const Tensor& x, const Tensor& dy, const NormCoefficients& c,
                   const BatchNormOptions& options, const SqueezeExciteTensors& se, const Tensors& d) {
  using R = Accumulator<T>;
  cuda::batch_norm_squeeze_excite_backward<T>(
      x.data<T>(), dy.data<T>(), c.pointers<R>(), options.training, d[0].data<T>(),
      {d[1].data<R>(), d[2].data<R>(), nullptr, nullptr}, se.pointers<R>(),
      {d[3].data<R>(), d[4].data<R>(), d[5].data<R>(), d[6].data<R>()});
}

bool is_one_op(const BatchNormOptions& options) {
  return options.activation == Activation::swish &&
         (!options.process_group || options.process_group->size() == 1) &&
         !TapeObserver::any_needs_whole_graph();
}

}  // namespace

Tensor batch_norm_squeeze_excite(const Tensor& x, const BatchNormTensors& norm,
                                 const BatchNormOptions& options, const ChannelStatistics* statistics,
                                 const Tensor& w_reduce, const Tensor& b_reduce, const Tensor& w_expand,
                                 const Tensor& b_expand) {
  if (!is_one_op(options)) {
    const Tensor u =
        batch_norm(x, norm.weight, norm.bias, norm.running_mean, norm.running_variance, options, statistics);
    return squeeze_excite(u, w_reduce, b_reduce, w_expand, b_expand);
  }
  check_norm(name_of_op, x, norm);
  check_statistics(name_of_op, x, statistics);
  const SqueezeExciteTensors se(name_of_op, x, {w_reduce, b_reduce, w_expand, b_expand});
  require_one_device(name_of_op, {x, norm.weight, w_reduce});
  const std::vector<BatchNormTensors> norms{norm};
  const NormCoefficients c(norm.weight, 1);
  const BatchNormDims dims = BatchNormDims::of_matrix(se.batch * se.pixels, se.channels);
  Tensor y = empty_like(x);
  with_compute_dtype(x, name_of_op, [&]<class T>() {
    on<T>(x.device(), forward_cpu<Accumulator<T>>, forward_cuda<T>)({x, norms, options, statistics, dims}, c,
                                                                    y, se);
  });
  return record(y, name_of_op,
                {x, norm.weight, norm.bias, norm.running_mean, norm.running_variance, w_reduce, b_reduce,
                 w_expand, b_expand},
                [x = x.detach(), c, options, se](const Tensor& dy) -> Tensors {
                  const Tensor of_norm = empty({se.channels}, c.scale.dtype(), x.device());
                  Tensors d{empty_like(x), of_norm, empty_like(of_norm)};
                  for (const Tensor& layer : se.layers) d.push_back(empty_like(layer));
                  with_compute_dtype(x, name_of_op, [&]<class T>() {
                    on<T>(x.device(), backward_cpu<Accumulator<T>>, backward_cuda<T>)(x, dy, c, options, se,
                                                                                      d);
                  });
                  return {d[0], d[1], d[2], {}, {}, d[3], d[4], d[5], d[6]};
                });
}

}  // namespace fovea
