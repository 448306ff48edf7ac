#include "ops/support/check_op.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "core/parallel.h"
#include "core/random.h"
#include "cuda/runtime/device.h"
#include "ops/support/dispatch.h"

namespace fovea {
namespace {

bool is_floating(const Tensor& x) { return x.dtype() == DType::float32 || x.dtype() == DType::float64; }

struct Place {
  DType dtype = DType::float64;
  Device device = Device::cpu;
  std::vector<int> parameters = {};

  DType of(size_t input) const {
    const bool parameter = std::find(parameters.begin(), parameters.end(), int(input)) != parameters.end();
    return parameter ? accumulator_dtype(dtype) : dtype;
  }
};

// Copies the inputs in `dtype`, as leaves; their gradients start as noise unless `noise` is 0.
Tensors leaves(const Tensors& inputs, const std::vector<bool>& differentiated, const Place& place,
               double noise) {
  Tensors result;
  for (size_t i = 0; i < inputs.size(); ++i) {
    Tensor leaf = is_floating(inputs[i]) ? from_values(inputs[i].shape(), inputs[i].values(), place.of(i))
                                         : inputs[i].clone();
    leaf = leaf.to(place.device);
    if (differentiated[i]) {
      leaf.set_requires_grad();
      if (noise != 0) leaf.set_grad(full(leaf.shape(), noise, leaf.dtype(), place.device));
    }
    result.push_back(leaf);
  }
  return result;
}

struct Run {
  Tensor output;
  Tensors gradients;  // as accumulated: noise + gradient; undefined where not differentiated
};

Run run(const OpFunction& f, const Tensors& inputs, const std::vector<bool>& differentiated,
        const Place& place, const Tensor& cotangent, double noise) {
  const Tensors leaf = leaves(inputs, differentiated, place, noise);
  const Tensor output = f(leaf);
  require(output.requires_grad(),
          "[check_op] the output does not require a gradient although an input does: was it recorded?");
  output.backward(from_values(output.shape(), cotangent.values(), output.dtype()).to(place.device));
  Run result{output.detach(), {}};
  for (size_t i = 0; i < leaf.size(); ++i)
    result.gradients.push_back(differentiated[i] ? leaf[i].grad() : Tensor());
  return result;
}

double weighted_sum(const Tensor& output, const Tensor& cotangent) {
  const double *y = output.data<double>(), *v = cotangent.data<double>();
  double sum = 0;
  for (int64_t i = 0; i < output.numel(); ++i) sum += y[i] * v[i];
  return sum;
}

constexpr double some_noise = 0.25;

void check_gradients(const OpFunction& f, const Tensors& inputs, const std::vector<bool>& differentiated,
                     const Tensor& cotangent, const CheckOptions& options) {
  const Run analytic = run(f, inputs, differentiated, {DType::float64}, cotangent, some_noise);
  NoGrad no_grad;
  Tensors probe;
  for (const Tensor& input : inputs) probe.push_back(input.clone());
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!differentiated[i]) continue;
    const int64_t n = probe[i].numel(), stride = std::max<int64_t>(1, n / options.max_probes);
    double* x = probe[i].data<double>();
    for (int64_t k = 0; k < n; k += stride) {
      const double value = x[k], h = options.step * std::max(1.0, std::abs(value));
      x[k] = value + h;
      const double above = weighted_sum(f(probe), cotangent);
      x[k] = value - h;
      const double below = weighted_sum(f(probe), cotangent);
      x[k] = value;
      const double numeric = (above - below) / (2 * h),
                   exact = analytic.gradients[i].data<double>()[k] - some_noise;
      const double scale = std::max({1.0, std::abs(numeric), std::abs(exact)});
      require(std::abs(numeric - exact) <= options.gradient_tolerance * scale,
              "[check_op] gradient of input {} ({}) at element {}: {} by the op, {} by central difference", i,
              inputs[i].shape(), k, exact, numeric);
    }
  }
}

bool same_bits(const Tensor& on_a, const Tensor& on_b) {
  const Tensor a = on_a.to(Device::cpu), b = on_b.to(Device::cpu);
  return a.shape() == b.shape() && std::memcmp(a.raw(), b.raw(), size_t(a.bytes())) == 0;
}

// Throws unless output and gradients have the same bits; `where` says what they must not depend on.
void require_same_bits(const Run& one, const Run& other, const std::string& where) {
  require(same_bits(one.output, other.output), "[check_op] the output differs {}", where);
  for (size_t i = 0; i < one.gradients.size(); ++i)
    require(!one.gradients[i].defined() || same_bits(one.gradients[i], other.gradients[i]),
            "[check_op] the gradient of input {} differs {}", i, where);
}

// Throws unless output and gradients are within `tolerance` of the reference.
void compare(const Run& other, const Run& reference, double tolerance, const char* what) {
  const double off = relative_difference(other.output, reference.output);
  require(off <= tolerance, "[check_op] the {} output is {:.3g} away from the CPU's float64 (allowed {:.3g})",
          what, off, tolerance);
  for (size_t i = 0; i < other.gradients.size(); ++i) {
    if (!other.gradients[i].defined()) continue;
    const double distance = relative_difference(other.gradients[i], reference.gradients[i]);
    require(distance <= tolerance,
            "[check_op] the {} gradient of input {} is {:.3g} away from the CPU's float64 (allowed {:.3g})",
            what, i, distance, tolerance);
  }
}

// Loops use this many threads while it lives.
class WithThreads {
 public:
  explicit WithThreads(int threads) { set_num_threads(threads); }
  ~WithThreads() { set_num_threads(previous_); }
  WithThreads(const WithThreads&) = delete;
  WithThreads& operator=(const WithThreads&) = delete;

 private:
  int previous_ = num_threads();
};

// Simulated threads start in this order while it lives.
class WithThreadOrder {
 public:
  explicit WithThreadOrder(cuda::ThreadOrder order) { cuda::set_thread_order(order); }
  ~WithThreadOrder() { cuda::set_thread_order(previous_); }
  WithThreadOrder(const WithThreadOrder&) = delete;
  WithThreadOrder& operator=(const WithThreadOrder&) = delete;

 private:
  cuda::ThreadOrder previous_ = cuda::thread_order();
};

void check_float32(const OpFunction& f, const Tensors& inputs, const std::vector<bool>& differentiated,
                   const Tensor& cotangent, const Run& exact, const CheckOptions& options) {
  const auto run_on = [&](int threads) {
    const WithThreads with(threads);
    return run(f, inputs, differentiated, {DType::float32}, cotangent, 0);
  };
  const Run one = run_on(1);
  for (int many : {2, 3}) require_same_bits(one, run_on(many), fmt::format("between 1 and {} threads", many));
  compare(one, exact, options.float32_tolerance, "float32");
}

Tensor rounded_to_bfloat16(const Tensor& x) {
  return from_values(x.shape(), from_values(x.shape(), x.values(), DType::bfloat16).values(), x.dtype());
}

void check_cuda(const OpFunction& f, const Tensors& inputs, const std::vector<bool>& differentiated,
                const Tensor& cotangent, const Run& exact, const CheckOptions& options) {
  // With noise, because an op may add to a gradient in its kernel; the runs below have none.
  const auto noisy = [&](Device device) {
    return run(f, inputs, differentiated, {DType::float64, device}, cotangent, some_noise);
  };
  compare(noisy(Device::cuda), noisy(Device::cpu), 1e-10, "CUDA float64");
  const Run forward = run(f, inputs, differentiated, {DType::float32, Device::cuda}, cotangent, 0);
  compare(forward, exact, options.float32_tolerance, "CUDA float32");
  for (const auto order : {cuda::ThreadOrder::reverse, cuda::ThreadOrder::shuffled}) {
    const WithThreadOrder with(order);
    require_same_bits(forward, run(f, inputs, differentiated, {DType::float32, Device::cuda}, cotangent, 0),
                      "on CUDA with the order of threads");
  }
  const Place bfloat16_place{DType::bfloat16, Device::cuda, options.parameters};
  Tensors rounded;
  for (size_t i = 0; i < inputs.size(); ++i)
    rounded.push_back(is_floating(inputs[i]) && bfloat16_place.of(i) == DType::bfloat16
                          ? rounded_to_bfloat16(inputs[i])
                          : inputs[i]);
  const Tensor rounded_cotangent = rounded_to_bfloat16(cotangent);
  compare(run(f, rounded, differentiated, bfloat16_place, rounded_cotangent, 0),
          run(f, rounded, differentiated, {DType::float64}, rounded_cotangent, 0), options.bfloat16_tolerance,
          "CUDA bfloat16");
}

}  // namespace

double relative_difference(const Tensor& a, const Tensor& b) {
  require(a.shape() == b.shape(), "[relative_difference] {} against {}", a.shape(), b.shape());
  const std::vector<double> x = a.values(), y = b.values();
  double difference = 0, norm = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    difference += (x[i] - y[i]) * (x[i] - y[i]);
    norm += y[i] * y[i];
  }
  return std::sqrt(difference) / std::max(std::sqrt(norm), 1e-12);
}

void check_op(const OpFunction& f, const Tensors& inputs, const CheckOptions& options) {
  bool chosen = false;
  for (const Tensor& input : inputs) chosen = chosen || input.requires_grad();
  std::vector<bool> differentiated;
  Tensors plain;
  for (const Tensor& input : inputs) {
    require(input.dtype() != DType::float32,
            "[check_op] inputs must be float64 (or integers), got a float32 one");
    differentiated.push_back(chosen ? input.requires_grad() : is_floating(input));
    plain.push_back(input.detach());
  }
  Tensor cotangent;
  {
    NoGrad no_grad;
    Random random(options.seed);
    cotangent = randn(f(plain).shape(), random, DType::float64);
  }
  check_gradients(f, plain, differentiated, cotangent, options);
  if (!options.float32 && !options.cuda) return;
  const Run exact = run(f, plain, differentiated, {DType::float64}, cotangent, 0);
  if (options.float32) check_float32(f, plain, differentiated, cotangent, exact, options);
  if (options.cuda) check_cuda(f, plain, differentiated, cotangent, exact, options);
}

}  // namespace fovea
