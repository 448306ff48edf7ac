#include "ops/conv1x1_batch_norm.h"

#include <algorithm>

#include "core/parallel.h"
#include "core/tape_observer.h"
#include "cuda/kernels/conv1x1_batch_norm.h"
#include "ops/matmul.h"
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

  int64_t in() const { return x.size(-1); }
  BatchNormDims dims() const { return BatchNormDims::of_matrix(z.numel() / z.size(-1), z.size(-1)); }
};

// The gradients of x, to which its own is added if `add`, of w, and of the norm's weight and bias.
struct Gradients {
  Tensor x, w, weight, bias;
  bool add;
};

template <class T>
void backward_cpu(const Saved& of, const Tensor& gradient, const Gradients& d) {
  const BatchNormDims dims = of.dims();
  const int64_t rows = dims.rows(0), in = of.in(), out = dims.channels;
  const BatchNormCoefficients<T> norm = of.coefficients.pointers<T>();
  const Activation activation = of.options.activation;
  const T *x = of.x.data<T>(), *z = of.z.data<T>(), *dy = gradient.data<T>();
  // Writes over dy if nobody else has it, which saves reading the memory that g would be written to.
  const bool written = activation != Activation::identity;
  const Tensor products = !written || gradient.unique() ? gradient : empty_like(gradient);
  T *g = products.data<T>(), *sum_g = d.bias.data<T>(), *sum_gx = d.weight.data<T>();
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
    const BatchNormDims dims = of.dims();
    const Tensor constant = empty_like(of.coefficients.scale), slope = empty_like(constant);
    BatchNormTable<float> gradients;
    gradients.of[0] = {d.weight.data<float>(), d.bias.data<float>(), nullptr, nullptr};
    const auto norm = of.coefficients.pointers<float>();
    with_activation(of.options.activation, [&]<class F>() {
      cuda::batch_norm_gradient_sums<F>(of.z.data<T>(), dy.data<T>(), norm, of.options.training,
                                        of.options.process_group, constant.data<float>(), slope.data<float>(),
                                        gradients, dims);
    });
    cuda::conv1x1_gradients<T>({int(dims.rows(0)), int(of.in()), int(dims.channels), of.x.data<T>(),
                                of.w.data<T>(), of.z.data<T>(), dy.data<T>(), norm, constant.data<float>(),
                                slope.data<float>(), of.options.activation, d.x.data<T>(), d.add},
                               d.w.data<float>());
  }
}

// Whether one op computes the gradients: on the CPU if partial sums of dw are small beside the wide matrices,
// and these do not stay in the cache.
bool is_one_op(const Tensor& x, const Tensor& w, const BatchNormOptions& options) {
  if (!options.training || !grad_enabled() || !x.requires_grad() || !w.requires_grad() || w.rank() != 2 ||
      x.rank() < 2 || TapeObserver::any_needs_whole_graph())
    return false;
  const int64_t in = w.size(0), out = w.size(1), rows = x.numel() / x.size(-1);
  if (x.device() == Device::cpu) return in <= out && in * out <= 16384 && rows * out >= 1 << 18;
  return x.dtype() == DType::bfloat16 && cuda::prefers_conv1x1_gradients(rows, in, out) &&
         !cuda::batch_norm_is_one_launch(BatchNormDims::of_matrix(rows, out), size_of(x.dtype()));
}

}  // namespace

Tensor conv1x1_batch_norm(const Tensor& x, const Tensor& w, const BatchNormTensors& norm,
                          const BatchNormOptions& options) {
  ChannelStatistics statistics(options.process_group);
  ChannelStatistics* const gathered = options.training ? &statistics : nullptr;
  if (!is_one_op(x, w, options)) {
    const Tensor z = conv1x1(x, w, {}, gathered);
    return batch_norm(z, norm.weight, norm.bias, norm.running_mean, norm.running_variance, options, gathered);
  }
  const Tensor factor = ParameterCasts::find_or_cast(w, x.dtype());
  const Tensor z = [&] {
    const NoGrad not_recorded;
    return conv1x1(x, w, {}, gathered);
  }();
  check_norm("batch_norm", z, norm);
  const Saved saved{x.detach(), factor, z, NormCoefficients(norm.weight, 1), options};
  const std::vector<BatchNormTensors> norms{norm};
  Tensor y = empty_like(z);
  NormInputs{z, norms, options, gathered, saved.dims()}.normalize(name_of_op, saved.coefficients, y);
  return record_adding(y, name_of_op,
                       {x, w, norm.weight, norm.bias, norm.running_mean, norm.running_variance},
                       [saved, w_dtype = w.dtype()](const Tensor& dy, Node& node) -> Tensors {
                         const Tensor of_norm = empty({saved.z.size(-1)}, w_dtype, dy.device());
                         Gradients d{take_gradient(node, 0), empty(saved.w.shape(), w_dtype, dy.device()),
                                     of_norm, empty_like(of_norm), true};
                         d.add = d.x.defined();
                         if (!d.add) d.x = empty_like(saved.x);
                         with_compute_dtype(saved.x, name_of_op, [&]<class T>() {
                           on<T>(dy.device(), backward_cpu<Accumulator<T>>, backward_cuda<T>)(saved, dy, d);
                         });
                         return {d.x, d.w, d.weight, d.bias, {}, {}};
                       });
}

}  // namespace fovea
