#include "ops/bifpn_node.h"

#include <cmath>
#include <limits>

#include "core/parallel.h"
#include "cuda/kernels/bifpn_node.h"
#include "ops/dispatch.h"

namespace fovea {
namespace {

constexpr double epsilon = 1e-4;  // of fast normalised fusion

// The larger of two numbers; a NaN, once met, stays.
template <class T>
T larger(T best, T value) {
  return ((value > best) | (value != value)) ? value : best;
}

// z[x][c] += weight * max over the window, for one output row; `image` is the input's (H, W, C).
template <class T>
void add_pooled_row(const T* image, const ResampleDims& d, int64_t y, T weight, T* z) {
  const Window v = d.vertical(), h = d.horizontal();
  const int64_t top = y * v.stride - v.pad_before(d.in_height);
  for (int64_t x = 0; x < d.out_width; ++x, z += d.channels) {
    const int64_t left = x * h.stride - h.pad_before(d.in_width);
    const int64_t y0 = std::max<int64_t>(top, 0), y1 = std::min(top + v.kernel, d.in_height);
    const int64_t x0 = std::max<int64_t>(left, 0), x1 = std::min(left + h.kernel, d.in_width);
    constexpr int64_t block = 64;
    for (int64_t c0 = 0; c0 < d.channels; c0 += block) {
      const int64_t count = std::min(block, d.channels - c0);
      T best[block];
      std::fill_n(best, block, -std::numeric_limits<T>::infinity());
      for (int64_t iy = y0; iy < y1; ++iy)
        for (int64_t ix = x0; ix < x1; ++ix) {
          const T* pixel = image + (iy * d.in_width + ix) * d.channels + c0;
          for (int64_t c = 0; c < count; ++c) best[c] = larger(best[c], pixel[c]);
        }
      for (int64_t c = 0; c < count; ++c) z[c0 + c] += weight * best[c];
    }
  }
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

template <class T>
struct NodeInput {
  const T* x;
  T* dx;  // null where no gradient is wanted
  ResampleDims dims;
  T weight;
  int64_t image() const { return dims.in_height * dims.in_width * dims.channels; }
};

template <class F, class T>
void bifpn_node_cpu(const std::vector<NodeInput<T>>& inputs, T* y, int64_t batch) {
  const ResampleDims& d = inputs[0].dims;
  const int64_t row = d.out_width * d.channels;
  parallel_for(batch * d.out_height, std::max<int64_t>(1, 8192 / row), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      T* z = y + r * row;
      std::fill_n(z, row, T(0));
      for (const NodeInput<T>& in : inputs)
        add_row(in.x + r / d.out_height * in.image(), in.dims, r % d.out_height, in.weight, z);
#pragma omp simd
      for (int64_t i = 0; i < row; ++i) z[i] = F::forward(z[i]);
    }
  });
}

// g = dy * f'(z) for all rows, and dot[i] = sum g * resample(x_i), summed in row order.
template <class F, class T>
void bifpn_node_sums_cpu(const std::vector<NodeInput<T>>& inputs, const T* dy, T* g, double* dot,
                         int64_t batch) {
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
        const NodeInput<T>& in = inputs[k];
        T* into = resampled.data() + int64_t(k) * row;
        add_row(in.x + r / d.out_height * in.image(), in.dims, r % d.out_height, T(1), into);
        for (int64_t i = 0; i < row; ++i) z[size_t(i)] += in.weight * into[i];
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

// The gradient of max pooling goes to the first maximum of each window. Windows overlap, so one image is one
// thread's.
template <class T>
void pooled_backward_image(const T* image, const T* g, const ResampleDims& d, T weight, T* dx) {
  const Window v = d.vertical(), h = d.horizontal();
  std::fill_n(dx, d.in_height * d.in_width * d.channels, T(0));
  std::vector<T> best(static_cast<size_t>(d.channels)), left_over(static_cast<size_t>(d.channels));
  for (int64_t y = 0; y < d.out_height; ++y)
    for (int64_t x = 0; x < d.out_width; ++x) {
      const int64_t top = y * v.stride - v.pad_before(d.in_height),
                    left = x * h.stride - h.pad_before(d.in_width);
      const int64_t y0 = std::max<int64_t>(top, 0), y1 = std::min(top + v.kernel, d.in_height);
      const int64_t x0 = std::max<int64_t>(left, 0), x1 = std::min(left + h.kernel, d.in_width);
      std::fill(best.begin(), best.end(), -std::numeric_limits<T>::infinity());
      for (int64_t iy = y0; iy < y1; ++iy)
        for (int64_t ix = x0; ix < x1; ++ix) {
          const T* pixel = image + (iy * d.in_width + ix) * d.channels;
          T* b = best.data();
          for (int64_t c = 0; c < d.channels; ++c) b[c] = larger(b[c], pixel[c]);
        }
      const T* gradient = g + (y * d.out_width + x) * d.channels;
      for (int64_t c = 0; c < d.channels; ++c) left_over[size_t(c)] = weight * gradient[c];
      for (int64_t iy = y0; iy < y1; ++iy)
        for (int64_t ix = x0; ix < x1; ++ix) {
          const int64_t at = (iy * d.in_width + ix) * d.channels;
          const T* b = best.data();
          T* rest = left_over.data();
#pragma omp simd
          for (int64_t c = 0; c < d.channels; ++c) {
            const bool hit = image[at + c] == b[c];
            dx[at + c] += hit ? rest[c] : T(0);
            rest[c] = hit ? T(0) : rest[c];
          }
        }
    }
}

template <class T>
void resample_backward_cpu(const NodeInput<T>& in, const T* g, int64_t batch) {
  const ResampleDims& d = in.dims;
  const int64_t out_image = d.out_height * d.out_width * d.channels, row = d.in_width * d.channels;
  if (d.kind == Resample::pool) {
    parallel_for(batch, 1, [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n)
        pooled_backward_image(in.x + n * in.image(), g + n * out_image, d, in.weight, in.dx + n * in.image());
    });
    return;
  }
  parallel_for(batch * d.in_height, std::max<int64_t>(1, 8192 / row), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t n = r / d.in_height, y = r % d.in_height;
      T* to = in.dx + r * row;
      if (d.kind == Resample::same) {
        for (int64_t i = 0; i < row; ++i) to[i] = in.weight * g[r * row + i];
        continue;
      }
      std::fill_n(to, row, T(0));
      for (int64_t oy = d.first(y, d.in_height, d.out_height); oy < d.first(y + 1, d.in_height, d.out_height);
           ++oy)
        for (int64_t x = 0; x < d.in_width; ++x)
          for (int64_t ox = d.first(x, d.in_width, d.out_width); ox < d.first(x + 1, d.in_width, d.out_width);
               ++ox) {
            const T* from = g + n * out_image + (oy * d.out_width + ox) * d.channels;
            for (int64_t c = 0; c < d.channels; ++c) to[x * d.channels + c] += in.weight * from[c];
          }
    }
  });
}

ResampleDims resample_dims(const Tensor& x, int64_t height, int64_t width) {
  ResampleDims d{Resample::same, x.size(1), x.size(2), height, width, x.size(3)};
  if (d.in_height == height && d.in_width == width) return d;
  d.kind = d.in_height >= height && d.in_width >= width ? Resample::pool : Resample::upsample;
  require(d.kind == Resample::pool || (d.in_height <= height && d.in_width <= width),
          "[bifpn_node] an input is {}, the node {}x{}: finer along one axis and coarser along the other",
          x.shape(), height, width);
  require(d.kind == Resample::upsample || (d.vertical().output_size(d.in_height) == height &&
                                           d.horizontal().output_size(d.in_width) == width),
          "[bifpn_node] no whole stride pools {} to {}x{}", x.shape(), height, width);
  return d;
}

// From the gradients of the w_i to those of the learned v_i.
std::vector<double> fusion_backward(const Tensor& weights, Fusion fusion, const std::vector<double>& dw) {
  const std::vector<double> v = weights.values(), w = fusion_weights(weights, fusion);
  double total = epsilon, weighted = 0;
  for (size_t i = 0; i < v.size(); ++i) {
    total += std::max(v[i], 0.0);
    weighted += w[i] * dw[i];
  }
  std::vector<double> dv(v.size());
  for (size_t i = 0; i < v.size(); ++i)
    dv[i] =
        fusion == Fusion::softmax ? w[i] * (dw[i] - weighted) : (v[i] > 0 ? (dw[i] - weighted) / total : 0);
  return dv;
}

template <class T>
std::vector<NodeInput<T>> node_inputs(const Tensors& inputs, const std::vector<double>& w, int64_t height,
                                      int64_t width) {
  std::vector<NodeInput<T>> result;
  for (size_t i = 0; i < inputs.size(); ++i)
    result.push_back({inputs[i].data<T>(), nullptr, resample_dims(inputs[i], height, width), T(w[i])});
  return result;
}

}  // namespace

std::vector<double> fusion_weights(const Tensor& weights, Fusion fusion) {
  std::vector<double> w = weights.values();
  double total = fusion == Fusion::softmax ? 0 : epsilon, largest = -INFINITY;
  for (double v : w) largest = std::max(largest, v);
  for (double& v : w) {
    v = fusion == Fusion::softmax ? std::exp(v - largest) : std::max(v, 0.0);
    total += v;
  }
  for (double& v : w) v /= total;
  return w;
}

Tensor bifpn_node(const Tensors& inputs, const Tensor& weights, Fusion fusion, int64_t height, int64_t width,
                  Activation activation) {
  require(!inputs.empty(), "[bifpn_node] there are no inputs");
  const Tensor& first = inputs[0];
  for (const Tensor& x : inputs)
    require(x.rank() == 4 && x.size(0) == first.size(0) && x.size(3) == first.size(3) &&
                x.dtype() == first.dtype(),
            "[bifpn_node] inputs must be (N, H, W, C) of one N, C and dtype, got {} and {}", first.shape(),
            x.shape());
  const int64_t count = int64_t(inputs.size());
  if (fusion == Fusion::sum)
    require(!weights.defined(), "[bifpn_node] Fusion::sum takes no weights");
  else
    require(weights.defined() && weights.shape() == Shape{count},
            "[bifpn_node] {} inputs need weights of shape {}, got {}", count, count,
            weights.defined() ? weights.shape() : Shape{});
  const std::vector<double> w =
      fusion == Fusion::sum ? std::vector<double>(inputs.size(), 1.0) : fusion_weights(weights, fusion);
  const int64_t batch = first.size(0);
  Tensor y({batch, height, width, first.size(3)}, first.dtype(), first.device());
  with_float_dtype(y.dtype(), "bifpn_node", [&]<class T>() {
    with_activation(activation, [&]<class F>() {
      on(y.device(), bifpn_node_cpu<F, T>)(node_inputs<T>(inputs, w, height, width), y.data<T>(), batch);
    });
  });
  Tensors kept, all = inputs;
  std::vector<bool> needed;
  for (const Tensor& x : inputs) {
    kept.push_back(x.detach());
    needed.push_back(x.requires_grad());
  }
  all.push_back(weights);
  const Tensor v = weights.defined() ? weights.detach() : Tensor();
  return record(y, "bifpn_node", all,
                [kept, needed, v, w, fusion, height, width, activation, batch](const Tensor& dy) -> Tensors {
                  Tensors gradients(kept.size() + 1);
                  Tensor g = empty_like(dy);
                  std::vector<double> dot(kept.size());
                  with_float_dtype(dy.dtype(), "bifpn_node", [&]<class T>() {
                    std::vector<NodeInput<T>> nodes = node_inputs<T>(kept, w, height, width);
                    with_activation(activation, [&]<class F>() {
                      on(dy.device(), bifpn_node_sums_cpu<F, T>)(nodes, dy.data<T>(), g.data<T>(), dot.data(),
                                                                 batch);
                    });
                    for (size_t i = 0; i < kept.size(); ++i) {
                      if (!needed[i]) continue;
                      gradients[i] = empty_like(kept[i]);
                      nodes[i].dx = gradients[i].data<T>();
                      on(dy.device(), resample_backward_cpu<T>)(nodes[i], g.data<T>(), batch);
                    }
                  });
                  if (v.defined())
                    gradients.back() = from_values(v.shape(), fusion_backward(v, fusion, dot), v.dtype());
                  return gradients;
                });
}

}  // namespace fovea
