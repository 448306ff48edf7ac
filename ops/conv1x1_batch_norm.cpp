#include "ops/conv1x1_batch_norm.h"

#include <algorithm>

#include "core/parallel.h"
#include "core/tape_observer.h"
#include "cuda/kernels/conv1x1_batch_norm.h"
#include "ops/matmul.h"
#include "ops/shape_ops.h"
#include "ops/support/batch_norm_coefficients.h"
#include "ops/support/dispatch.h"
#include "ops/support/gemm.h"
#include "ops/support/parameter_casts.h"

namespace fovea {
namespace {

constexpr const char* name_of_op = "conv1x1_batch_norm";

// What the backward pass needs: z = x w, with w in the dtype of x.
struct Saved {
  Tensor x, w, z;
  NormCoefficients coefficients;
  BatchNormOptions options;
  BatchNormDims dims;
};

// The gradients of x, to which its own is added if `add`, of w, and of the weight and bias of each norm.
struct Gradients {
  Tensor x, w;
  Tensors norms;
  bool add;
};

template <class T>
void backward_cpu(const Saved& of, const Tensor& gradient, const Gradients& d) {
  const BatchNormDims& dims = of.dims;
  const int64_t rows = dims.rows(0), in = of.x.size(-1), out = dims.channels;
  const BatchNormCoefficients<T> norm = of.coefficients.pointers<T>();
  const Activation activation = of.options.activation;
  const T *x = of.x.data<T>(), *z = of.z.data<T>(), *dy = gradient.data<T>();
  // g replaces dy if nobody else has it, which saves reading the memory that it would be written to. Without
  // an activation it is dy.
  const bool in_place = activation == Activation::identity || gradient.unique();
  const Tensor of_z = in_place ? gradient : empty_like(gradient);
  T *g = of_z.data<T>(), *sum_gx = d.norms[0].data<T>(), *sum_g = d.norms[1].data<T>();
  with_activation(activation,
                  [&]<class F>() { batch_norm_gradient_sums<F>(z, dy, norm, g, sum_g, sum_gx, dims); });
  std::vector<T> constant(static_cast<size_t>(out)), slope(constant);
  batch_norm_gradient_terms(norm, of.options, rows, out, sum_g, sum_gx, constant.data(), slope.data());

  const RowGroup group(out);
  const std::vector<T> a = group.repeat<T>(norm.scale), u = group.repeat<T>(constant.data()),
                       v = group.repeat<T>(slope.data());
  constexpr int64_t most_pieces = 16, block_bytes = 1 << 18;  // a block of dz stays in the cache
  const int64_t block = std::max<int64_t>(32, block_bytes / int64_t(sizeof(T)) / out / 8 * 8);
  const int64_t piece = chunk_count(chunk_count(rows, block), most_pieces) * block;
  const int64_t pieces = chunk_count(rows, piece), weights = in * out;
  std::vector<T> partial(static_cast<size_t>(pieces * weights));
  parallel_chunks(rows, piece, [&](int64_t index, int64_t begin, int64_t end) {
    std::vector<T> dz(static_cast<size_t>(block * out));
    for (int64_t first = begin; first < end; first += block) {
      const int64_t count = std::min(block, end - first);
      norm_gradient_rows(group, count, z + first * out, g + first * out, a, u, v, dz.data());
      add_block_product_tn(in, out, count, x + first * in, dz.data(), partial.data() + index * weights);
      block_product_nt(count, in, out, dz.data(), of.w.data<T>(), d.x.data<T>() + first * in, d.add);
    }
  });
  add_pieces(partial.data(), pieces, weights, d.w.data<T>());
}

template <class T>
void backward_cuda(const Saved& of, const Tensor& dy, const Gradients& d) {
  if constexpr (std::is_same_v<T, bfloat16>) {
    const Tensor constant = empty_like(of.coefficients.scale), slope = empty_like(constant);
    BatchNormTable<float> gradients;
    for (size_t i = 0; i < size_t(of.dims.segments); ++i)
      gradients.of[i] = {d.norms[2 * i].data<float>(), d.norms[2 * i + 1].data<float>(), nullptr, nullptr};
    const auto norm = of.coefficients.pointers<float>();
    with_activation(of.options.activation, [&]<class F>() {
      cuda::batch_norm_gradient_sums<F>(of.z.data<T>(), dy.data<T>(), norm, of.options.training,
                                        of.options.process_group, constant.data<float>(), slope.data<float>(),
                                        gradients, of.dims);
    });
    cuda::conv1x1_gradients<T>(
        {of.dims, int(of.x.size(-1)), of.x.data<T>(), of.w.data<T>(), of.z.data<T>(), dy.data<T>(), norm,
         constant.data<float>(), slope.data<float>(), of.options.activation, d.x.data<T>(), d.add},
        d.w.data<float>());
  }
}

// Whether one op computes the gradients: on the CPU if partial sums of dw are small beside the wide matrices,
// and these do not stay in the cache. `dims` of the product.
bool is_one_op(const Tensor& x, const Tensor& w, const BatchNormDims& dims, const BatchNormOptions& options) {
  if (!options.training || !grad_enabled() || !x.requires_grad() || !w.requires_grad() ||
      TapeObserver::any_needs_whole_graph())
    return false;
  const int64_t in = w.size(0), out = dims.channels;
  if (x.device() == Device::cpu)
    return dims.segments == 1 && in <= out && in * out <= 16384 && dims.rows(0) * out >= 1 << 18;
  return x.dtype() == DType::bfloat16 && cuda::prefers_conv1x1_gradients(dims, in) &&
         !cuda::batch_norm_is_one_launch(dims, int(size_of(x.dtype())));
}

// z = x w without its place on the tape, and what follows, with one backward pass.
Tensor one_op(const Tensor& x, const Tensor& w, const Tensor& z, const BatchNormDims& dims,
              const std::vector<BatchNormTensors>& norms, const BatchNormOptions& options,
              const ChannelStatistics* statistics) {
  const Tensor copy = ParameterCasts::find(w, x.dtype());
  const Tensor factor = copy.defined() ? copy : cast(w.detach(), x.dtype());
  const Saved saved{x.detach(), factor, z, NormCoefficients(norms[0].weight, dims.segments), options, dims};
  Tensor y = empty_like(z);
  NormInputs{z, norms, options, statistics, dims}.normalize(name_of_op, saved.coefficients, y);
  Tensors inputs{x, w};
  for (const auto& [weight, bias, mean, variance] : norms)
    inputs.insert(inputs.end(), {weight, bias, mean, variance});
  return record_adding(y, name_of_op, inputs, [saved, dtype = w.dtype()](const Tensor& dy, Node& node) {
    Gradients d{take_gradient(node, 0), empty(saved.w.shape(), dtype, dy.device()), {}, true};
    for (int i = 0; i < 2 * saved.dims.segments; ++i)
      d.norms.push_back(empty({saved.dims.channels}, dtype, dy.device()));
    d.add = d.x.defined();
    if (!d.add) d.x = empty_like(saved.x);
    with_compute_dtype(saved.x, name_of_op, [&]<class T>() {
      on<T>(dy.device(), backward_cpu<Accumulator<T>>, backward_cuda<T>)(saved, dy, d);
    });
    Tensors gradients{d.x, d.w};
    for (size_t i = 0; i < d.norms.size(); i += 2)
      gradients.insert(gradients.end(), {d.norms[i], d.norms[i + 1], {}, {}});
    return gradients;
  });
}

Tensor unrecorded_product(const Tensor& x, const Tensor& w, ChannelStatistics* statistics) {
  const NoGrad not_recorded;
  return conv1x1(x, w, {}, statistics);
}

}  // namespace

Tensor conv1x1_batch_norm(const Tensor& x, const Tensor& w, const BatchNormTensors& norm,
                          const BatchNormOptions& options) {
  ChannelStatistics statistics(options.process_group);
  ChannelStatistics* const gathered = options.training ? &statistics : nullptr;
  const bool fits = x.rank() >= 2 && w.rank() == 2 && x.size(-1) == w.size(0) && x.numel() > 0;
  if (fits) {
    const BatchNormDims dims = BatchNormDims::of_matrix(x.numel() / x.size(-1), w.size(1));
    if (is_one_op(x, w, dims, options)) {
      const Tensor z = unrecorded_product(x, w, gathered);
      check_norm("batch_norm", z, norm);
      return one_op(x, w, z, dims, {norm}, options, gathered);
    }
  }
  const Tensor z = conv1x1(x, w, {}, gathered);
  return batch_norm(z, norm.weight, norm.bias, norm.running_mean, norm.running_variance, options, gathered);
}

Tensor conv1x1_batch_norm(const Tensor& x, const Tensor& w, const std::vector<int64_t>& segments,
                          const std::vector<BatchNormTensors>& norms, const BatchNormOptions& options) {
  if (x.rank() == 3 && w.rank() == 2 && x.numel() > 0 && segments.size() <= BatchNormDims::max_segments) {
    BatchNormDims dims{x.size(0), x.size(1), w.size(1), int(segments.size())};
    std::copy(segments.begin(), segments.end(), dims.size);
    if (x.device() == Device::cuda && is_one_op(x, w, dims, options)) {
      const Tensor z = unrecorded_product(x, w, nullptr);
      return one_op(x, w, z, dims_of_segments("batch_norm", z, segments, norms), norms, options, nullptr);
    }
  }
  return batch_norm(conv1x1(x, w), segments, norms, options);
}

}  // namespace fovea
