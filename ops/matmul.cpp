#include "ops/matmul.h"

#include "core/parallel.h"
#include "cuda/kernels/gemm.h"
#include "cuda/kernels/gemm_tiled.h"
#include "cuda/kernels/reduction.h"
#include "ops/shape_ops.h"
#include "ops/support/channel_rows.h"
#include "ops/support/channels.h"
#include "ops/support/dispatch.h"
#include "ops/support/gemm.h"
#include "ops/support/parameter_casts.h"

namespace fovea {
namespace {

template <class T>
void linear_with_epilogue_cpu(const T* x, const T* w, const T* bias, T* y, int64_t m, int64_t n, int64_t k,
                              Epilogue* epilogue) {
  if (!bias && !epilogue) return gemm(m, n, k, x, w, y);
  if (epilogue) epilogue->prepare(m, n, gemm_block_count(m, n, k));
  const RowGroup group(n);
  const std::vector<T> b = bias ? group.repeat<T>(bias) : std::vector<T>();
  gemm<T>(m, n, k, x, w, y, [&](int64_t block, int64_t begin, int64_t end) {
    T* rows = y + begin * n;
    if (bias)
      group.each(end - begin, [&](int64_t at, int64_t count) {
        for (int64_t j = 0; j < count; ++j) rows[at + j] += b[size_t(j)];
      });
    if (epilogue) epilogue->block(block, rows, end - begin);
  });
  if (epilogue) epilogue->finish();
}

template <class T>
void linear_cpu(int64_t m, int64_t n, int64_t k, const T* x, const T* w, const T* bias, T* y) {
  linear_with_epilogue_cpu<T>(x, w, bias, y, m, n, k, nullptr);
}

// on<T>() of a product. A dry run counts its workspace, which is larger than many tensors.
template <class T, class Cpu, class Cuda, class... Arguments>
void multiply(Device device, Cpu* cpu, Cuda* cuda, Arguments... arguments) {
  if (is_dry_run() && device == Device::cuda) const Storage workspace(cuda::gemm_workspace_bytes, device);
  on<T>(device, cpu, cuda)(arguments...);
}

template <class T>
void column_sums_cpu(const T* dy, T* sums, int64_t rows, int64_t columns) {
  column_sums<T>(
      rows, columns, 1.0, [dy](int64_t i) { return dy[i]; }, sums);
}

// A bfloat16 product takes all its operands in bfloat16; the parameters that training changes are float32.
Tensor operand(const Tensor& parameter, DType dtype) {
  const Tensor copy = ParameterCasts::find(parameter, dtype);
  return copy.defined() ? copy : cast(parameter.detach(), dtype);
}

Tensor product(const char* op, const Tensor& x, const Tensor& w, const Tensor& bias, Epilogue* epilogue) {
  if (w.rank() == 2) require_channels(op, x, "w", w.shape(), w.size(0));
  require(
      x.rank() >= 1 && w.rank() == 2 && x.size(-1) == w.size(0) &&
          (x.dtype() == w.dtype() || accumulator_dtype(x.dtype()) == w.dtype()),
      "[{}] x is {} of {}, w is {} of {}: the last size of x must be the first of w, and the dtypes equal",
      op, x.dtype(), x.shape(), w.dtype(), w.shape());
  require(
      !bias.defined() || (bias.shape() == Shape{w.size(1)} && bias.dtype() == accumulator_dtype(x.dtype())),
      "[{}] bias must be {} of {}, got {} of {}", op, accumulator_dtype(x.dtype()), Shape{w.size(1)},
      bias.defined() ? bias.dtype() : x.dtype(), bias.defined() ? bias.shape() : Shape{});
  require_one_device(op, {x, w, bias});
  const int64_t k = w.size(0), n = w.size(1);
  int64_t m = 1;
  for (int axis = 0; axis + 1 < x.rank(); ++axis) m *= x.size(axis);
  Shape shape = x.shape();
  shape.set(-1, n);
  Tensor y(shape, x.dtype(), x.device());
  const Tensor factor = operand(w, x.dtype());
  const Tensor addend = bias.defined() ? operand(bias, x.dtype()) : Tensor();
  with_compute_dtype(x, op, [&]<class T>() {
    const T* b = addend.defined() ? addend.data<T>() : nullptr;
    if constexpr (!std::is_same_v<T, bfloat16>)
      if (epilogue && x.device() == Device::cpu && !is_dry_run())
        return linear_with_epilogue_cpu<T>(x.data<T>(), w.data<T>(), b, y.data<T>(), m, n, k, epilogue);
    if constexpr (std::is_same_v<T, bfloat16>)
      if (epilogue && x.device() == Device::cuda && cuda::prefers_tiles(m, n, k)) {
        cuda::TiledGemm<T> tiled{int(m), int(n), int(k), x.data<T>(), factor.data<T>(), b, y.data<T>()};
        tiled.epilogue = epilogue->on_cuda(y, cuda::GemmTiles::of(m, n, k).chunks);
        if (!is_dry_run()) cuda::gemm_tiled(tiled);
        return;
      }
    multiply<T>(x.device(), linear_cpu<Accumulator<T>>, cuda::gemm<T>, m, n, k, x.data<T>(), factor.data<T>(),
                b, y.data<T>());
  });
  const bool x_needs = x.requires_grad(), w_needs = w.requires_grad(), bias_needs = bias.requires_grad();
  return record_adding(y, op, {x, w, bias},
                       [op, x = x.detach(), factor, w_dtype = w.dtype(), x_needs, w_needs, bias_needs, m, n,
                        k](const Tensor& dy, Node& node) -> Tensors {
                         Tensor dx, dw, db;
                         with_compute_dtype(x, op, [&]<class T>() {
                           if (w_needs) {
                             Tensor sums({k, n}, accumulator_dtype(x.dtype()), x.device());
                             multiply<T>(x.device(), gemm_tn<Accumulator<T>>, cuda::gemm_tn<T>, k, n, m,
                                         x.data<T>(), dy.data<T>(), sums.data<Accumulator<T>>());
                             dw = cast(sums, w_dtype);
                           }
                           if (bias_needs) {
                             db = Tensor({n}, accumulator_dtype(x.dtype()), x.device());
                             on<T>(x.device(), column_sums_cpu<Accumulator<T>>, cuda::column_sums<T>)(
                                 dy.data<T>(), db.data<Accumulator<T>>(), m, n);
                           }
                           if (x_needs) {
                             dx = take_gradient(node, 0);
                             const bool add = dx.defined();
                             if (!add) dx = empty_like(x);
                             multiply<T>(x.device(), gemm_nt<Accumulator<T>>, cuda::gemm_nt<T>, m, k, n,
                                         dy.data<T>(), factor.data<T>(), dx.data<T>(), add);
                           }
                         });
                         return {dx, dw, db};
                       });
}

}  // namespace

Tensor matmul(const Tensor& x, const Tensor& w) {
  require(x.rank() == 2, "[matmul] x is {}: it must be a matrix", x.shape());
  return product("matmul", x, w, {}, nullptr);
}

Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias) {
  return product("linear", x, w, bias, nullptr);
}

Tensor conv1x1(const Tensor& x, const Tensor& w, const Tensor& bias, Epilogue* epilogue) {
  require(x.rank() == 4 || x.rank() == 3,
          "[conv1x1] x is {}: it must be (N, H, W, C), or (N, P, C) for a pyramid", x.shape());
  return product("conv1x1", x, w, bias, epilogue);
}

}  // namespace fovea
