#include "train/optimizer.h"

#include <array>
#include <cmath>

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

}  // namespace

Optimizer::Optimizer(std::vector<NamedTensor> parameters, const OptimizerOptions& options)
    : options_(options), parameters_(std::move(parameters)), pieces_(parameters_) {
  for (const NamedTensor& p : parameters_) {
    momentum_.push_back(zeros_like(p.tensor));
    if (options_.kind == OptimizerOptions::Kind::adamw) variance_.push_back(zeros_like(p.tensor));
  }
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

double Optimizer::update(int64_t step, double learning_rate) {
  const double norm = gradient_norm();
  if (!std::isfinite(norm)) return norm;

  const float scale =
      options_.clip_norm > 0 && norm > options_.clip_norm ? float(options_.clip_norm / norm) : 1.0f;
  const float rate = float(learning_rate), keep = float(options_.momentum);
  const float b1 = float(options_.beta1), b2 = float(options_.beta2), epsilon = float(options_.epsilon);
  const float correct1 = float(1 / (1 - std::pow(options_.beta1, double(step + 1))));
  const float correct2 = float(1 / (1 - std::pow(options_.beta2, double(step + 1))));
  pieces_.parallel([&](size_t p, int64_t begin, int64_t end) {
    const Tensor& weight = parameters_[p].tensor;
    const Tensor gradient = weight.grad();
    if (!gradient.defined()) return;
    const float decay = weight.rank() >= 2 ? float(options_.weight_decay) : 0.0f;
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
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) {
      const float clipped = scale * g[i];
      m[i] = b1 * m[i] + (1 - b1) * clipped;
      v[i] = b2 * v[i] + (1 - b2) * clipped * clipped;
      w[i] -= rate * (m[i] * correct1 / (std::sqrt(v[i] * correct2) + epsilon) + decay * w[i]);
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
