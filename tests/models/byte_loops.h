#pragma once
// Everything in models/quantization/byte_kernels.h on random bytes, in a form that the compiler can translate
// for this processor and for any.
#include <algorithm>
#include <random>
#include <vector>

#include "models/quantization/byte_kernels.h"

namespace {

using Numbers = std::mt19937;  // not Random, which would be compiled only under its own name

[[maybe_unused]] float uniform(Numbers& numbers) { return float(numbers() >> 8) / float(1 << 24); }  // [0, 1)

template <class T>
std::vector<T> random_bytes(int64_t count, Numbers& numbers) {
  std::vector<T> bytes;
  for (int64_t i = 0; i < count; ++i) bytes.push_back(T(std::max(-127, int(numbers() % 256) - 128) & 255));
  return bytes;
}

// The bytes of all outputs, one after the other. Factors are such that sums fall between bytes and beyond
// them.
[[maybe_unused]] std::vector<uint8_t> bytes_of_all_loops() {
  using namespace fovea;
  Numbers random(11);
  std::vector<uint8_t> all;
  const auto keep = [&](const auto& numbers) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(numbers.data());
    all.insert(all.end(), bytes, bytes + numbers.size() * sizeof numbers[0]);
  };
  const int64_t images = 2, height = 11, width = 13;
  for (const int64_t channels : {3, 16, 24, 36, 68, 100})
    for (const Window window : {Window{1, 1}, Window{3, 1}, Window{3, 2}, Window{5, 2}}) {
      const auto k = int64_t(window.kernel);
      const std::vector<uint8_t> x = random_bytes<uint8_t>(images * height * width * channels, random);
      ByteOutput output{{}, {}, 90, random_bytes<uint8_t>(256, random)};
      for (int64_t c = 0; c < channels; ++c) {
        output.factor.push_back(uniform(random) / float(40 * k * k));
        output.bias.push_back(int32_t(uniform(random) * 2000) - 1000);
      }
      if (channels % 3 == 0) output.table.clear();
      const auto pixels = size_t(images * window.output_size(height) * window.output_size(width));
      std::vector<uint8_t> y(pixels * size_t(channels));
      std::vector<int32_t> sums(size_t(images * channels));
      ByteDepthwise(random_bytes<int8_t>(k * k * channels, random), channels, window, 77, output)(
          x.data(), images, height, width, y.data(), sums.data());
      keep(y), keep(sums);
      std::vector<ByteGate> gates;
      for (int64_t n = 0; n < images && k == 1; ++n) gates.emplace_back(output.factor, int(40 * n), 11);
      for (const int64_t outputs : {channels, channels / 3}) {
        y.resize(pixels * size_t(outputs));
        std::vector<float> in_float(y.size());
        const ByteConv2d conv(random_bytes<int8_t>(k * k * channels * outputs, random), channels, outputs,
                              window, 5, output);
        conv(x.data(), images, height, width, gates, y.data());
        conv(x.data(), images, height, width, gates, in_float.data());
        keep(y), keep(in_float);
      }
      std::vector<uint8_t> row(size_t(window.output_size(width) * channels));
      byte_max_pool_row(x.data(), height, width, channels, window, window, 2, row.data());
      keep(row);
    }
  const int64_t count = 5000 + 13;
  const std::vector<uint8_t> a = random_bytes<uint8_t>(count, random),
                             b = random_bytes<uint8_t>(count, random);
  std::vector<uint8_t> y = a;
  look_up(b, y.data(), count);
  keep(y);
  weighted_sum(std::vector{a.data(), b.data()}, std::vector{3, 200}, std::vector{0.7f, 0.31f}, 90, count,
               y.data());
  keep(y);
  std::vector<float> numbers;
  for (int64_t i = 0; i < count; ++i) numbers.push_back(uniform(random) * 3 - 1.5f);
  to_bytes(numbers.data(), count, 100.f, 130, y.data());
  keep(y);
  return all;
}

}  // namespace
