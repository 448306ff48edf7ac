#include "ops/support/resampled_sum.h"

#include <cmath>

#include "core/parallel.h"
#include "ops/support/dispatch.h"
#include "ops/support/pooling.h"

namespace fovea {
namespace {

// z[x][c] += weight * max over the window, for one output row; `image` is the input's (H, W, C).
template <class T>
void add_pooled_row(const T* image, const ResampleDims& d, int64_t y, T weight, T* z) {
  const PoolAxis v = d.vertical_axis(), h = d.horizontal_axis();
  for (int x = 0; x < h.out; ++x, z += d.channels)
    for_largest(image, v, h, d.channels, int(y), x, [&](int64_t c0, const T* best, int64_t count) {
      for (int64_t c = 0; c < count; ++c) z[c0 + c] += weight * best[c];
    });
}

// z (one output row) += weight * the resampled input's row y
template <class T>
void add_row(const T* image, const ResampleDims& d, int64_t y, T weight, T* z) {
  const int64_t row = d.in_width * d.channels;
  if (d.kind == Resample::pool) return add_pooled_row(image, d, y, weight, z);
  if (d.kind == Resample::same) {
    const T* from = image + y * row;
    for (int64_t i = 0; i < row; ++i) z[i] += weight * from[i];
    return;
  }
  const T* from = image + ResampleDims::source(y, d.in_height, d.out_height) * row;
  for (int64_t x = 0; x < d.out_width; ++x) {
    const T* pixel = from + ResampleDims::source(x, d.in_width, d.out_width) * d.channels;
    for (int64_t c = 0; c < d.channels; ++c) z[x * d.channels + c] += weight * pixel[c];
  }
}

int64_t image_size(const ResampleDims& d) { return d.in_height * d.in_width * d.channels; }

template <class T>
std::vector<double> weights_from(const T* v, Fusion fusion, size_t count) {
  if (fusion == Fusion::sum) return std::vector<double>(count, 1.0);
  return fused_weights(std::vector<double>(v, v + count), fusion);
}

template <class F, class T>
void resampled_sum_cpu(const std::vector<NodeInput<T>>& inputs, const T* v, Fusion fusion, T* y,
                       int64_t batch) {
  const std::vector<double> w = weights_from(v, fusion, inputs.size());
  const ResampleDims& d = inputs[0].dims;
  const int64_t row = d.out_width * d.channels;
  parallel_for(batch * d.out_height, std::max<int64_t>(1, 8192 / row), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      T* z = y + r * row;
      std::fill_n(z, row, T(0));
      for (size_t k = 0; k < inputs.size(); ++k) {
        const ResampleDims& dims = inputs[k].dims;
        add_row(inputs[k].x + r / d.out_height * image_size(dims), dims, r % d.out_height, T(w[k]), z);
      }
#pragma omp simd
      for (int64_t i = 0; i < row; ++i) z[i] = F::forward(z[i]);
    }
  });
}

// g = dy * f'(z) for all rows, and dot[i] = sum g * resample(x_i), summed in row order.
template <class F, class T>
void sums_cpu(const std::vector<NodeInput<T>>& inputs, const std::vector<double>& w, const T* dy, T* g,
              double* dot, int64_t batch) {
  const ResampleDims& d = inputs[0].dims;
  const int64_t row = d.out_width * d.channels, rows = batch * d.out_height;
  const size_t count = inputs.size();
  std::vector<double> partial(static_cast<size_t>(rows) * count);
  parallel_for(rows, std::max<int64_t>(1, 4096 / row), [&](int64_t begin, int64_t end) {
    std::vector<T> resampled(static_cast<size_t>(row) * count), z(static_cast<size_t>(row));
    for (int64_t r = begin; r < end; ++r) {
      std::fill(resampled.begin(), resampled.end(), T(0));
      std::fill(z.begin(), z.end(), T(0));
      for (size_t k = 0; k < count; ++k) {
        const ResampleDims& dims = inputs[k].dims;
        const T weight = T(w[k]);
        T* into = resampled.data() + int64_t(k) * row;
        add_row(inputs[k].x + r / d.out_height * image_size(dims), dims, r % d.out_height, T(1), into);
        for (int64_t i = 0; i < row; ++i) z[size_t(i)] += weight * into[i];
      }
      T* out = g + r * row;
#pragma omp simd
      for (int64_t i = 0; i < row; ++i) out[i] = dy[r * row + i] * F::derivative(z[size_t(i)]);
      for (size_t k = 0; k < count; ++k) {
        const T* from = resampled.data() + int64_t(k) * row;
        T sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < row; ++i) sum += out[i] * from[i];
        partial[size_t(r) * count + k] = double(sum);
      }
    }
  });
  for (size_t k = 0; k < count; ++k) {
    dot[k] = 0;
    for (int64_t r = 0; r < rows; ++r) dot[k] += partial[size_t(r) * count + k];
  }
}

template <class T>
void resample_backward_cpu(const NodeInput<T>& in, T weight, const T* g, int64_t batch) {
  const ResampleDims& d = in.dims;
  const int64_t out_image = d.out_height * d.out_width * d.channels, row = d.in_width * d.channels;
  if (d.kind == Resample::pool) {
    const int64_t image = image_size(d);
    parallel_for(batch, 1, [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) {
        if (!in.adds) std::fill_n(in.dx + n * image, image, T(0));
        max_pool_backward_image(in.x + n * image, g + n * out_image, d.vertical_axis(), d.horizontal_axis(),
                                d.channels, weight, in.dx + n * image);
      }
    });
    return;
  }
  parallel_for(batch * d.in_height, std::max<int64_t>(1, 8192 / row), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t n = r / d.in_height, y = r % d.in_height;
      T* to = in.dx + r * row;
      if (!in.adds) std::fill_n(to, row, T(0));
      if (d.kind == Resample::same) {
        for (int64_t i = 0; i < row; ++i) to[i] += weight * g[r * row + i];
        continue;
      }
      for (int64_t oy = d.first(y, d.in_height, d.out_height); oy < d.first(y + 1, d.in_height, d.out_height);
           ++oy)
        for (int64_t x = 0; x < d.in_width; ++x)
          for (int64_t ox = d.first(x, d.in_width, d.out_width); ox < d.first(x + 1, d.in_width, d.out_width);
               ++ox) {
            const T* from = g + n * out_image + (oy * d.out_width + ox) * d.channels;
            for (int64_t c = 0; c < d.channels; ++c) to[x * d.channels + c] += weight * from[c];
          }
    }
  });
}

ResampleDims resample_dims(const Tensor& x, const ResampledSum& of) {
  const int64_t height = of.height, width = of.width;
  ResampleDims d{Resample::same, x.size(1), x.size(2), height, width, x.size(3), of.padding};
  if (d.in_height == height && d.in_width == width) return d;
  d.kind = d.in_height >= height && d.in_width >= width ? Resample::pool : Resample::upsample;
  require(d.kind == Resample::pool || (d.in_height <= height && d.in_width <= width),
          "[{}] an input is {}, the node {}x{}: finer along one axis and coarser along the other", of.op,
          x.shape(), height, width);
  require(d.kind == Resample::upsample || (d.vertical().output_size(d.in_height) == height &&
                                           d.horizontal().output_size(d.in_width) == width),
          "[{}] {} cannot be pooled to {}x{}: a level has half the size of the one before, rounded up", of.op,
          x.shape(), height, width);
  return d;
}

// Computes the gradients of the learned v_i from those of the w_i.
template <class T>
void fusion_backward_cpu(const T* v, const std::vector<double>& w, Fusion fusion,
                         const std::vector<double>& dw, T* dv) {
  double total = fusion_epsilon, weighted = 0;
  for (size_t i = 0; i < w.size(); ++i) {
    total += std::max(double(v[i]), 0.0);
    weighted += w[i] * dw[i];
  }
  for (size_t i = 0; i < w.size(); ++i)
    dv[i] = T(fusion == Fusion::softmax ? w[i] * (dw[i] - weighted)
                                        : (v[i] > 0 ? (dw[i] - weighted) / total : 0));
}

template <class F, class T>
void resampled_sum_backward_cpu(const std::vector<NodeInput<T>>& inputs, const T* v, Fusion fusion,
                                const T* dy, T* g, T* dv, int64_t batch) {
  const std::vector<double> w = weights_from(v, fusion, inputs.size());
  std::vector<double> dw(inputs.size());
  sums_cpu<F>(inputs, w, dy, g, dw.data(), batch);
  for (size_t k = 0; k < inputs.size(); ++k)
    if (inputs[k].dx) resample_backward_cpu(inputs[k], T(w[k]), g, batch);
  if (dv) fusion_backward_cpu(v, w, fusion, dw, dv);
}

// The inputs as the loops and kernels take them, with the gradients that they are to compute; `adds`: they
// add to what these hold already.
template <class T>
std::vector<NodeInput<T>> node_inputs(const ResampledSum& of, const Tensors& gradients = {},
                                      const std::vector<bool>& adds = {}) {
  std::vector<NodeInput<T>> result;
  for (size_t i = 0; i < of.inputs.size(); ++i) {
    T* dx = i < gradients.size() && gradients[i].defined() ? gradients[i].data<T>() : nullptr;
    result.push_back({of.inputs[i].data<T>(), dx, dx && adds[i], resample_dims(of.inputs[i], of)});
  }
  return result;
}

template <class T>
Accumulator<T>* data_or_null(const Tensor& v) {
  return v.defined() ? v.data<Accumulator<T>>() : nullptr;
}

}  // namespace

std::vector<double> fused_weights(std::vector<double> v, Fusion fusion) {
  double total = fusion == Fusion::softmax ? 0 : fusion_epsilon, largest = -INFINITY;
  for (double value : v) largest = std::max(largest, value);
  for (double& value : v) {
    value = fusion == Fusion::softmax ? std::exp(value - largest) : std::max(value, 0.0);
    total += value;
  }
  for (double& value : v) value /= total;
  return v;
}

Tensor resampled_sum(const ResampledSum& of) {
  const Tensor& first = of.inputs[0];
  const int64_t batch = first.size(0);
  Tensor y({batch, of.height, of.width, first.size(3)}, first.dtype(), first.device());
  with_compute_dtype(y, of.op, [&]<class T>() {
    with_activation(of.activation, [&]<class F>() {
      on<T>(y.device(), resampled_sum_cpu<F, Accumulator<T>>, cuda::bifpn_node<F, T>)(
          node_inputs<T>(of), data_or_null<T>(of.weights), of.fusion, y.data<T>(), batch);
    });
  });
  return y;
}

Tensors resampled_sum_backward(const ResampledSum& of, const Tensor& dy, const Node& node) {
  Tensors gradients(of.inputs.size() + 1);
  std::vector<bool> adds;
  for (size_t i = 0; i < of.inputs.size(); ++i) {
    gradients[i] = take_gradient(node, i);
    adds.push_back(gradients[i].defined());
    if (node.inputs[i] && !adds[i]) gradients[i] = empty_like(of.inputs[i]);
  }
  if (of.weights.defined()) gradients.back() = empty_like(of.weights);
  const Tensor g = empty_like(dy);
  with_compute_dtype(dy, of.op, [&]<class T>() {
    with_activation(of.activation, [&]<class F>() {
      on<T>(dy.device(), resampled_sum_backward_cpu<F, Accumulator<T>>, cuda::bifpn_node_backward<F, T>)(
          node_inputs<T>(of, gradients, adds), data_or_null<T>(of.weights), of.fusion, dy.data<T>(),
          g.data<T>(), data_or_null<T>(gradients.back()), dy.size(0));
    });
  });
  return gradients;
}

}  // namespace fovea
