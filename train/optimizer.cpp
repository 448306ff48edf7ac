#include "train/optimizer.h"

#include <array>
#include <cmath>

#include "core/parallel.h"

namespace fovea {
namespace {

// Sixteen running sums in double, which the compiler keeps in vector registers, added in order at the end.
double sum_of_squares(const Tensor& x) {
  constexpr int64_t lanes = 16;
  const float* values = x.data<float>();
  const int64_t n = x.numel();
  std::array<double, lanes> sums{};
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (int64_t k = 0; k < lanes; ++k) sums[size_t(k)] += double(values[i + k]) * double(values[i + k]);
  for (; i < n; ++i) sums[0] += double(values[i]) * double(values[i]);
  double sum = 0;
  for (const double part : sums) sum += part;
  return sum;
}

}  // namespace

Optimizer::Optimizer(std::vector<NamedTensor> parameters, const OptimizerOptions& options)
    : options_(options), parameters_(std::move(parameters)) {
  for (const NamedTensor& p : parameters_) {
    momentum_.push_back(zeros_like(p.tensor));
    if (options_.kind == OptimizerOptions::Kind::adamw) variance_.push_back(zeros_like(p.tensor));
  }
}

double Optimizer::update(int64_t step, double learning_rate) {
  const int64_t count = int64_t(parameters_.size());
  std::vector<double> squares(parameters_.size());
  parallel_for(count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Tensor gradient = parameters_[size_t(i)].tensor.grad();
      squares[size_t(i)] = gradient.defined() ? sum_of_squares(gradient) : 0;
    }
  });
  double norm = 0;
  for (const double s : squares) norm += s;
  norm = std::sqrt(norm);
  if (!std::isfinite(norm)) return norm;

  const float scale =
      options_.clip_norm > 0 && norm > options_.clip_norm ? float(options_.clip_norm / norm) : 1.0f;
  const float rate = float(learning_rate), decay = float(options_.weight_decay),
              keep = float(options_.momentum);
  const float b1 = float(options_.beta1), b2 = float(options_.beta2), epsilon = float(options_.epsilon);
  const float correct1 = float(1 / (1 - std::pow(options_.beta1, double(step + 1))));
  const float correct2 = float(1 / (1 - std::pow(options_.beta2, double(step + 1))));
  parallel_for(count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const Tensor& weight = parameters_[size_t(p)].tensor;
      const Tensor gradient = weight.grad();
      if (!gradient.defined()) continue;
      const float own_decay = weight.rank() >= 2 ? decay : 0.0f;
      float *w = weight.data<float>(), *m = momentum_[size_t(p)].data<float>();
      const float* g = gradient.data<float>();
      const int64_t n = weight.numel();
      if (options_.kind == OptimizerOptions::Kind::sgd) {
        for (int64_t i = 0; i < n; ++i) {
          m[i] = keep * m[i] + (scale * g[i] + own_decay * w[i]);
          w[i] -= rate * m[i];
        }
        continue;
      }
      float* v = variance_[size_t(p)].data<float>();
      for (int64_t i = 0; i < n; ++i) {
        const float clipped = scale * g[i];
        m[i] = b1 * m[i] + (1 - b1) * clipped;
        v[i] = b2 * v[i] + (1 - b2) * clipped * clipped;
        w[i] -= rate * (m[i] * correct1 / (std::sqrt(v[i] * correct2) + epsilon) + own_decay * w[i]);
      }
    }
  });
  return norm;
}

std::vector<NamedTensor> Optimizer::state() const {
  std::vector<NamedTensor> state;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    state.push_back({parameters_[i].name + ".momentum", momentum_[i]});
    if (!variance_.empty()) state.push_back({parameters_[i].name + ".variance", variance_[i]});
  }
  return state;
}

}  // namespace fovea
