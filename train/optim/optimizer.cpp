#include "train/optim/optimizer.h"

#include <array>
#include <cmath>

#include "core/error.h"
#include "core/parallel.h"

namespace fovea {
namespace {

// Sixteen running sums in double, which the compiler keeps in vector registers, added in order at the end.
double sum_of_squares(const float* values, int64_t n) {
  constexpr int64_t lanes = 16;
  std::array<double, lanes> sums{};
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (int64_t k = 0; k < lanes; ++k) sums[size_t(k)] += double(values[i + k]) * double(values[i + k]);
  for (; i < n; ++i) sums[0] += double(values[i]) * double(values[i]);
  double sum = 0;
  for (const double part : sums) sum += part;
  return sum;
}

Device device_of(const std::vector<NamedTensor>& parameters) {
  const Device device = parameters.empty() ? Device::cpu : parameters.front().tensor.device();
  for (const NamedTensor& p : parameters)
    require(p.tensor.device() == device, "[Optimizer] {} is on {}, {} on {}: they must be on one device",
            parameters.front().name, name(device), p.name, name(p.tensor.device()));
  return device;
}

std::vector<NamedTensor> all_parameters(const std::vector<ParameterGroup>& groups) {
  std::vector<NamedTensor> all;
  for (const ParameterGroup& group : groups)
    all.insert(all.end(), group.parameters.begin(), group.parameters.end());
  return all;
}

}  // namespace

Optimizer::Optimizer(std::vector<NamedTensor> parameters, const OptimizerOptions& options)
    : Optimizer(std::vector<ParameterGroup>{{std::move(parameters)}}, options) {}

Optimizer::Optimizer(const std::vector<ParameterGroup>& groups, const OptimizerOptions& options)
    : options_(options),
      parameters_(all_parameters(groups)),
      pieces_(parameters_),
      device_(device_of(parameters_)),
      step_(device_) {
  for (const ParameterGroup& group : groups)
    for (const NamedTensor& p : group.parameters) {
      rate_factors_.push_back(float(group.learning_rate_factor));
      decays_.push_back(p.tensor.rank() >= 2 ? float(group.weight_decay.value_or(options.weight_decay)) : 0);
    }
  for (const NamedTensor& p : parameters_) {
    momentum_.push_back(zeros_like(p.tensor));
    if (has_variance()) variance_.push_back(zeros_like(p.tensor));
  }
  if (device_ == Device::cpu) return;
  tables_.emplace(parameters_);
  device_norm_.emplace(1);
  cuda::fill_bytes(device_norm_->data(), 0, sizeof(cuda::GradientNorm));
}

void Optimizer::clear_gradients() const {
  for (const NamedTensor& p : parameters_) p.tensor.clear_grad();
}

double Optimizer::learning_rate() const { return schedule_ ? schedule_(steps_) : options_.learning_rate; }

void Optimizer::prepare_step() {
  prepare(steps_, learning_rate());
  ++steps_;
}

void Optimizer::step() {
  prepare_step();
  apply();
}

void Optimizer::prepare(int64_t step, double learning_rate) {
  require(!cuda::is_capturing(),
          "[Optimizer] prepare() was called under capture: call it before each replay");
  const double correct1 = 1 / (1 - std::pow(options_.beta1, double(step + 1)));
  const double correct2 = 1 / (1 - std::pow(options_.beta2, double(step + 1)));
  step_.set({float(learning_rate), float(correct1), float(correct2)});
  if (tables_) tables_->prepare();
}

void Optimizer::apply() {
  require(step_.is_set(), "[Optimizer] apply() was called before prepare()");
  if (device_ == Device::cpu)
    apply_cpu();
  else
    apply_cuda();
}

double Optimizer::update(int64_t step, double learning_rate) {
  prepare(step, learning_rate);
  apply();
  return norm();
}

double Optimizer::norm() const { return result().norm; }
int64_t Optimizer::skipped() const { return result().skipped; }
int64_t Optimizer::first_skipped() const { return result().first_skipped; }

cuda::GradientNorm Optimizer::result() const {
  if (device_ == Device::cpu) return norm_;
  cuda::GradientNorm result;
  cuda::copy_to_host(&result, device_norm_->data(), sizeof result);
  return result;
}

double Optimizer::gradient_norm() const {
  constexpr int64_t chunk = 1 << 14;
  std::vector<double> partial(size_t(chunk_count(pieces_.size(), chunk)));
  parallel_chunks(pieces_.size(), chunk, [&](int64_t index, int64_t first, int64_t last) {
    pieces_.each(first, last, [&](size_t p, int64_t begin, int64_t end) {
      const Tensor gradient = parameters_[p].tensor.grad();
      if (gradient.defined())
        partial[size_t(index)] += sum_of_squares(gradient.data<float>() + begin, end - begin);
    });
  });
  double sum = 0;
  for (const double part : partial) sum += part;
  return std::sqrt(sum);
}

void Optimizer::apply_cpu() {
  const double norm = gradient_norm();
  norm_.norm = norm;
  const int64_t update = norm_.updates++;
  if (!std::isfinite(norm)) {
    if (norm_.skipped++ == 0) norm_.first_skipped = update;
    return;
  }

  const float scale =
      options_.clip_norm > 0 && norm > options_.clip_norm ? float(options_.clip_norm / norm) : 1.0f;
  const float keep = float(options_.momentum);
  const float b1 = float(options_.beta1), b2 = float(options_.beta2), epsilon = float(options_.epsilon);
  const float* step = step_.data();
  const float correct1 = step[1], correct2 = step[2];
  const bool decay_in_gradient = options_.kind == OptimizerOptions::Kind::adam;
  pieces_.parallel([&](size_t p, int64_t begin, int64_t end) {
    const Tensor& weight = parameters_[p].tensor;
    const Tensor gradient = weight.grad();
    if (!gradient.defined()) return;
    const float decay = decays_[p], rate = step[0] * rate_factors_[p];
    float *w = weight.data<float>(), *m = momentum_[p].data<float>();
    const float* g = gradient.data<float>();
    if (options_.kind == OptimizerOptions::Kind::sgd) {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) {
        m[i] = keep * m[i] + (scale * g[i] + decay * w[i]);
        w[i] -= rate * m[i];
      }
      return;
    }
    float* v = variance_[p].data<float>();
    if (decay_in_gradient) {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) {
        const float clipped = scale * g[i] + decay * w[i];
        m[i] = b1 * m[i] + (1 - b1) * clipped;
        v[i] = b2 * v[i] + (1 - b2) * clipped * clipped;
        w[i] -= rate * (m[i] * correct1 / (std::sqrt(v[i] * correct2) + epsilon));
      }
      return;
    }
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) {
      const float clipped = scale * g[i];
      m[i] = b1 * m[i] + (1 - b1) * clipped;
      v[i] = b2 * v[i] + (1 - b2) * clipped * clipped;
      w[i] -= rate * (m[i] * correct1 / (std::sqrt(v[i] * correct2) + epsilon) + decay * w[i]);
    }
  });
}

std::vector<cuda::OptimizedTensor> Optimizer::rows() const {
  std::vector<cuda::OptimizedTensor> rows;
  for (size_t p = 0; p < parameters_.size(); ++p) {
    const Tensor& weight = parameters_[p].tensor;
    const Tensor gradient = weight.grad();
    require(weight.device() == device_ && (!gradient.defined() || gradient.device() == device_),
            "[Optimizer] {} or its gradient is no longer on {}, where the optimizer was made",
            parameters_[p].name, name(device_));
    rows.push_back({weight.data<float>(), gradient.defined() ? gradient.data<float>() : nullptr,
                    momentum_[p].data<float>(), variance_.empty() ? nullptr : variance_[p].data<float>(),
                    weight.numel(), decays_[p], rate_factors_[p]});
  }
  return rows;
}

void Optimizer::apply_cuda() {
  const auto table = tables_->table(rows());
  static_assert(sizeof(cuda::OptimizerStep) == 3 * sizeof(float));
  const auto* step = reinterpret_cast<const cuda::OptimizerStep*>(step_.data());
  cuda::GradientNorm* norm = device_norm_->data();
  cuda::gradient_norm(table, options_.clip_norm, norm);
  if (options_.kind == OptimizerOptions::Kind::sgd)
    cuda::sgd(table, float(options_.momentum), step, norm);
  else if (options_.kind == OptimizerOptions::Kind::adam)
    cuda::adam(table, float(options_.beta1), float(options_.beta2), float(options_.epsilon), step, norm);
  else
    cuda::adamw(table, float(options_.beta1), float(options_.beta2), float(options_.epsilon), step, norm);
}

std::vector<NamedTensor> Optimizer::state() const {
  std::vector<NamedTensor> state;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    state.push_back({parameters_[i].name + ".momentum", momentum_[i]});
    if (!variance_.empty()) state.push_back({parameters_[i].name + ".variance", variance_[i]});
  }
  return state;
}

namespace {

OptimizerOptions options_of(const SgdOptions& o) {
  return {.kind = OptimizerOptions::Kind::sgd,
          .learning_rate = o.learning_rate,
          .momentum = o.momentum,
          .weight_decay = o.weight_decay,
          .clip_norm = o.clip_norm};
}

template <class Options>
OptimizerOptions options_of(const Options& o, OptimizerOptions::Kind kind) {
  return {.kind = kind,
          .learning_rate = o.learning_rate,
          .beta1 = o.beta1,
          .beta2 = o.beta2,
          .epsilon = o.epsilon,
          .weight_decay = o.weight_decay,
          .clip_norm = o.clip_norm};
}

}  // namespace

SGD::SGD(std::vector<NamedTensor> parameters, const SgdOptions& options)
    : Optimizer(std::move(parameters), options_of(options)) {}
SGD::SGD(const std::vector<ParameterGroup>& groups, const SgdOptions& options)
    : Optimizer(groups, options_of(options)) {}
Adam::Adam(std::vector<NamedTensor> parameters, const AdamOptions& options)
    : Optimizer(std::move(parameters), options_of(options, OptimizerOptions::Kind::adam)) {}
Adam::Adam(const std::vector<ParameterGroup>& groups, const AdamOptions& options)
    : Optimizer(groups, options_of(options, OptimizerOptions::Kind::adam)) {}
AdamW::AdamW(std::vector<NamedTensor> parameters, const AdamWOptions& options)
    : Optimizer(std::move(parameters), options_of(options, OptimizerOptions::Kind::adamw)) {}
AdamW::AdamW(const std::vector<ParameterGroup>& groups, const AdamWOptions& options)
    : Optimizer(groups, options_of(options, OptimizerOptions::Kind::adamw)) {}

}  // namespace fovea
