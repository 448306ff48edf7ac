// The product on tensor cores, called directly, at sizes that gemm() leaves to cuBLASLt and at its own.
#include "cuda/kernels/gemm_tiled.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "cuda/device/philox.h"
#include "cuda/runtime/device.h"
#include "cuda/runtime/memory.h"

using namespace fovea;

namespace {

template <class T>
std::vector<T> from_device(const T* data, size_t size) {
  std::vector<T> result(size);
  cuda::copy_to_host(result.data(), data, size * sizeof(T));
  return result;
}

// Random numbers on the device, and their values.
struct Operand {
  std::vector<float> values;
  cuda::Workspace<bfloat16> memory;
  Operand(uint64_t key, int64_t size) : memory(size) {
    std::vector<bfloat16> rounded;
    for (int64_t i = 0; i < size; ++i)
      rounded.emplace_back(float(philox4x32(key, uint64_t(i)).word[0]) * 0x1p-31f - 1);
    for (const bfloat16 number : rounded) values.push_back(float(number));
    cuda::copy_to_device(memory.data(), rounded.data(), size_t(size) * sizeof(bfloat16));
  }
};

struct Sizes {
  int rows, inner, columns;
};

// Errors in units of the largest error of rounding to bfloat16 once.
double worst_error(const cuda::TiledGemm<bfloat16>& p, const Operand& a, const Operand& b,
                   const Operand& bias) {
  const std::vector<bfloat16> got = from_device(p.c, size_t(p.rows * p.columns));
  double worst = 0;
  for (int64_t i = 0; i < p.rows; ++i)
    for (int64_t j = 0; j < p.columns; ++j) {
      double sum = p.bias ? double(bias.values[size_t(j)]) : 0, size = std::abs(sum);
      for (int64_t k = 0; k < p.inner; ++k) {
        const double term = double(a.values[size_t(int64_t(i) * p.inner + k)]) *
                            double(b.values[size_t(p.turned ? j * p.inner + k : k * p.columns + j)]);
        sum += term;
        size += std::abs(term);
      }
      const double error = std::abs(double(float(got[size_t(i * p.columns + j)])) - sum);
      worst = std::max(worst, error / (0x1p-8 * std::abs(sum) + 1e-6 * size));
    }
  return worst;
}

}  // namespace

TEST_CASE("products on tensor cores agree with a loop in double, at odd sizes") {
  for (const Sizes& s : {Sizes{1, 8, 8},
                         {17, 24, 40},
                         {131, 40, 96},
                         {300, 96, 24},
                         {129, 144, 152},
                         {257, 16, 200},
                         {64, 304, 8},
                         {4099, 32, 16}}) {
    INFO(s.rows << " x " << s.inner << " x " << s.columns);
    const Operand a(1, int64_t(s.rows) * s.inner), b(2, int64_t(s.inner) * s.columns), bias(3, s.columns),
        c(4, int64_t(s.rows) * s.columns);
    cuda::TiledGemm<bfloat16> p{s.rows,          s.columns, s.inner,        a.memory.data(),
                                b.memory.data(), nullptr,   c.memory.data()};
    for (const bool turned : {false, true}) {
      p.turned = turned;
      p.bias = turned ? nullptr : bias.memory.data();
      cuda::gemm_tiled(p);
      CHECK(worst_error(p, a, b, bias) <= 1);
      const std::vector<bfloat16> forwards = from_device(p.c, size_t(s.rows * s.columns));
      for (const auto order : {cuda::ThreadOrder::reverse, cuda::ThreadOrder::shuffled}) {
        cuda::set_thread_order(order);
        cuda::gemm_tiled(p);
        cuda::set_thread_order(cuda::ThreadOrder::forward);
        const std::vector<bfloat16> again = from_device(p.c, forwards.size());
        CHECK(std::memcmp(again.data(), forwards.data(), forwards.size() * sizeof(bfloat16)) == 0);
      }
    }
  }
}

TEST_CASE("the epilogue of a product on tensor cores gathers the statistics of what it stores") {
  // Far from 0: sums of squares would cancel. Several chunks, of which one ends within a tile.
  for (const Sizes& s : {Sizes{130, 16, 24}, {51000, 8, 40}, {777, 40, 152}}) {
    INFO(s.rows << " x " << s.inner << " x " << s.columns);
    const Operand a(1, int64_t(s.rows) * s.inner), b(2, int64_t(s.inner) * s.columns),
        c(4, int64_t(s.rows) * s.columns);
    const std::vector<bfloat16> hundred(size_t(s.columns), bfloat16(100.0f));
    const cuda::Workspace<bfloat16> bias(s.columns);
    cuda::copy_to_device(bias.data(), hundred.data(), hundred.size() * sizeof(bfloat16));
    const cuda::GemmTiles tiles = cuda::GemmTiles::of(s.rows, s.columns, s.inner);
    CHECK((tiles.chunks > 1) == (s.rows > 128));
    const cuda::Workspace<float> statistics(2 * tiles.chunks * s.columns);
    const cuda::Workspace<int> rows(tiles.chunks);
    cuda::TiledGemm<bfloat16> p{s.rows,          s.columns,   s.inner,        a.memory.data(),
                                b.memory.data(), bias.data(), c.memory.data()};
    p.epilogue.statistics = statistics.data();
    p.epilogue.rows = rows.data();
    cuda::gemm_tiled(p);

    const std::vector<bfloat16> stored = from_device(p.c, size_t(s.rows * s.columns));
    const std::vector<float> chunks = from_device(statistics.data(), size_t(2 * tiles.chunks * s.columns));
    const std::vector<int> of_chunk = from_device(rows.data(), size_t(tiles.chunks));
    CHECK(std::accumulate(of_chunk.begin(), of_chunk.end(), 0) == s.rows);
    for (size_t column = 0; column < size_t(s.columns); ++column) {
      double mean = 0, squares = 0, merged = 0, merged_squares = 0;
      for (size_t i = column; i < stored.size(); i += size_t(s.columns))
        mean += double(float(stored[i])) / s.rows;
      for (size_t i = column; i < stored.size(); i += size_t(s.columns))
        squares += std::pow(double(float(stored[i])) - mean, 2);
      const auto of = [&](size_t chunk, size_t which) {
        return double(chunks[(2 * chunk + which) * size_t(s.columns) + column]);
      };
      for (size_t i = 0; i < of_chunk.size(); ++i) merged += of(i, 0) * of_chunk[i] / s.rows;
      for (size_t i = 0; i < of_chunk.size(); ++i)
        merged_squares += of(i, 1) + of_chunk[i] * std::pow(of(i, 0) - merged, 2);
      CHECK(merged == Approx(mean).epsilon(1e-6));
      CHECK(merged_squares == Approx(squares).epsilon(1e-4));
    }
  }
}

TEST_CASE("where a column is not finite, only its own statistics are not") {
  // A multiplication for the sums of squares multiplies each column with seven others.
  const Sizes s{300, 16, 40};
  const Operand a(1, s.rows * s.inner), b(2, s.inner * s.columns), c(4, s.rows * s.columns);
  const cuda::GemmTiles tiles = cuda::GemmTiles::of(s.rows, s.columns, s.inner);
  const size_t size = size_t(2 * tiles.chunks * s.columns);
  const auto gathered = [&] {
    const cuda::Workspace<float> statistics{int64_t(size)};
    const cuda::Workspace<int> rows(tiles.chunks);
    cuda::TiledGemm<bfloat16> p{s.rows,          s.columns, s.inner,        a.memory.data(),
                                b.memory.data(), nullptr,   c.memory.data()};
    p.epilogue.statistics = statistics.data();
    p.epilogue.rows = rows.data();
    cuda::gemm_tiled(p);
    return from_device(statistics.data(), size);
  };
  const std::vector<float> finite = gathered();
  const size_t columns = size_t(s.columns), infinite = 19;
  std::vector<bfloat16> weights;
  for (const float value : b.values) weights.emplace_back(value);
  weights[5 * columns + infinite] = bfloat16(INFINITY);
  cuda::copy_to_device(b.memory.data(), weights.data(), weights.size() * sizeof(bfloat16));
  const std::vector<float> got = gathered();
  for (size_t i = 0; i < size; ++i) {
    CAPTURE(i);
    if (i % columns == infinite)
      CHECK(!std::isfinite(got[i]));
    else
      CHECK(got[i] == finite[i]);
  }
}

TEST_CASE("the epilogue of a product on tensor cores applies a norm and its activation, and rounds once") {
  const Sizes s{150, 24, 104};
  const Operand a(1, s.rows * s.inner), b(2, s.inner * s.columns), bias(3, s.columns),
      c(4, s.rows * s.columns);
  std::vector<float> parameters;  // weight, bias, mean and variance
  for (int i = 0; i < 4 * s.columns; ++i)
    parameters.push_back(0.5f + uniform_from_word(philox4x32(5, uint64_t(i)).word[0]));
  const cuda::Workspace<float> norm(4 * s.columns);
  cuda::copy_to_device(norm.data(), parameters.data(), parameters.size() * sizeof(float));
  for (const Activation activation : all_activations) {
    INFO(name(activation));
    cuda::TiledGemm<bfloat16> p{s.rows,          s.columns,          s.inner,        a.memory.data(),
                                b.memory.data(), bias.memory.data(), c.memory.data()};
    p.epilogue.weight = norm.data();
    p.epilogue.bias = norm.data() + s.columns;
    p.epilogue.mean = norm.data() + 2 * s.columns;
    p.epilogue.variance = norm.data() + 3 * s.columns;
    p.epilogue.epsilon = 1e-3f;
    p.epilogue.activation = activation;
    cuda::gemm_tiled(p);
    const std::vector<bfloat16> got = from_device(p.c, size_t(s.rows * s.columns));
    double worst = 0;
    for (int i = 0; i < s.rows; ++i)
      for (int j = 0; j < s.columns; ++j) {
        double sum = double(bias.values[size_t(j)]);
        for (int k = 0; k < s.inner; ++k)
          sum += double(a.values[size_t(i * s.inner + k)]) * double(b.values[size_t(k * s.columns + j)]);
        const auto parameter = [&](int which) { return double(parameters[size_t(which * s.columns + j)]); };
        const double z = parameter(0) * (sum - parameter(2)) / std::sqrt(parameter(3) + 1e-3) + parameter(1);
        const double y = with_activation(activation, [&]<class F>() { return F::forward(z); });
        worst = std::max(worst, std::abs(double(float(got[size_t(i * s.columns + j)])) - y) /
                                    (0x1p-8 * std::abs(y) + 1e-5));
      }
    CHECK(worst <= 1);
  }
}
