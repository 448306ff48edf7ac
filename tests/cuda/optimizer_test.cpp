// Tables whose tensors do not begin at 16 bytes: tests/train tests the rest, where tables are made.
#include "cuda/kernels/optimizer.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include "cuda/runtime/memory.h"

using namespace fovea;

namespace {

template <class T>
void to_device(T* to, const std::vector<T>& values) {
  cuda::copy_to_device(to, values.data(), values.size() * sizeof(T));
}

std::vector<float> on_host(const float* device, int64_t n) {
  std::vector<float> values(static_cast<size_t>(n));
  cuda::copy_to_host(values.data(), device, values.size() * sizeof(float));
  return values;
}

}  // namespace

TEST_CASE("tensors at addresses that packs cannot read are updated one number at a time") {
  constexpr int64_t n = 1501;
  const cuda::Workspace<float> memory(4 * n + 8);
  float *weight = memory.data(), *gradient = weight + n, *momentum = gradient + n, *average = momentum + n;
  std::vector<float> values(4 * n, 0.5f);
  for (int64_t i = 0; i < n; ++i) values[size_t(n + i)] = float(i % 7);  // the gradient
  to_device(weight, values);
  double squares = 0;
  for (int64_t i = 0; i < n; ++i) squares += double(i % 7) * double(i % 7);

  const cuda::Workspace<cuda::Chunk> chunks(1);
  const cuda::Workspace<cuda::OptimizedTensor> row(1);
  const cuda::Workspace<cuda::AveragedTensor> averaged(1);
  const cuda::Workspace<cuda::OptimizerStep> step(1);
  const cuda::Workspace<cuda::GradientNorm> norm(1);
  const cuda::Workspace<float> decay(1);
  to_device(chunks.data(), {cuda::Chunk{0, int32_t(n), 0}});
  to_device(row.data(), {cuda::OptimizedTensor{weight, gradient, momentum, nullptr, n, 0.0f, 1.0f}});
  to_device(averaged.data(), {cuda::AveragedTensor{weight, average, n}});
  to_device(step.data(), {cuda::OptimizerStep{0.25f, 0, 0}});
  to_device(norm.data(), {cuda::GradientNorm{}});
  to_device(decay.data(), {0.75f});

  const cuda::MultiTensorTable<cuda::OptimizedTensor> table{row.data(), chunks.data(), 1, n};
  cuda::gradient_norm(table, 0, norm.data());
  cuda::sgd(table, 0.5f, step.data(), norm.data());
  cuda::GradientNorm result;
  cuda::copy_to_host(&result, norm.data(), sizeof result);
  CHECK(result.norm == Approx(std::sqrt(squares)).epsilon(1e-14));
  CHECK(result.finite == 1);
  const auto w = on_host(weight, n), m = on_host(momentum, n);
  for (size_t i = 0; i < size_t(n); ++i) {
    if (m[i] != 0.25f + float(i % 7) || w[i] != 0.5f - 0.25f * m[i]) FAIL("wrong at " << i);
  }

  const cuda::MultiTensorTable<cuda::AveragedTensor> averages{averaged.data(), chunks.data(), 1, n};
  cuda::update_average(averages, decay.data());
  cuda::swap_with_average(averages);
  const auto new_weight = on_host(weight, n), new_average = on_host(average, n);
  for (size_t i = 0; i < size_t(n); ++i) {
    if (new_average[i] != w[i] || new_weight[i] != 0.5f + 0.25f * (w[i] - 0.5f)) FAIL("wrong at " << i);
  }
}
