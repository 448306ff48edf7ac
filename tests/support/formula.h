#pragma once
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "models/box.h"
#include "nn/module.h"

// The numbers of tests/exactness/formula.py, the same to the last bit; its comments explain them.
namespace fovea::formula {

inline uint64_t hash_of(std::string_view name) {
  uint64_t result = 0xCBF29CE484222325u;
  for (const char c : name) result = (result ^ uint8_t(c)) * 0x100000001B3u;
  return result;
}

class Words {
 public:
  explicit Words(std::string_view name) : hash_(hash_of(name)) {}
  uint64_t word(int64_t i) const {
    uint64_t x = hash_ + uint64_t(i) * 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
  }
  double uniform(int64_t i) const { return double(word(i) >> 40) * 0x1p-24; }

 private:
  uint64_t hash_;
};

// Gives a model the weights that formula.weight() makes for its published names and layouts: `published` is
// published_weights(model), whose numbers are overwritten; write them to a file and load that.
inline void fill_published(std::vector<NamedTensor>& published) {
  for (NamedTensor& t : published) {
    t.tensor = Tensor(t.tensor.shape());
    const Words words(t.name);
    const auto values = t.tensor.span<float>();
    const bool matrix = t.tensor.rank() >= 2;
    const double fan_in = matrix ? double(t.tensor.numel() / t.tensor.size(0)) : 1;
    const bool predict = t.name.find(".predict.") != std::string::npos;
    const double scale = (predict ? 0.1 : 1.4) * std::sqrt(3.0 / fan_in);
    for (int64_t i = 0; i < t.tensor.numel(); ++i) {
      const double u = words.uniform(i);
      double value = 0.2 * (u - 0.5);
      if (t.name.ends_with("edge_weights"))
        value = i < 2 ? 0.2 + 1.3 * u : 1.6 * u - 0.8;
      else if (matrix)
        value = scale * (2 * u - 1);
      else if (t.name == "class_net.predict.conv_pw.bias")
        value -= 4;
      else if (t.name.ends_with("weight") || t.name.ends_with("running_var"))
        value = 0.5 + u;
      values[size_t(i)] = float(value);
    }
  }
}

// (N, H, W, 3)
inline Tensor images(int64_t batch, int64_t height, int64_t width, std::string_view name = "images") {
  Tensor result({batch, height, width, 3});
  const Words words(name);
  for (int64_t n = 0; n < batch; ++n)
    for (int64_t c = 0; c < 3; ++c)
      for (int64_t i = 0; i < height * width; ++i)
        result.data<float>()[(n * height * width + i) * 3 + c] =
            float(4 * words.uniform((n * 3 + c) * height * width + i) - 2);
  return result;
}

struct Objects {
  std::vector<Box> boxes;
  std::vector<int32_t> labels;
};
inline std::vector<Objects> objects(int64_t batch, int height, int width, int classes, int64_t count = 5) {
  const Words words("objects");
  std::vector<Objects> result;
  result.resize(size_t(batch));
  for (int64_t n = 0; n < batch; ++n)
    for (int64_t k = 0; k < count; ++k) {
      const auto u = [&](int64_t i) { return words.uniform((n * count + k) * 5 + i); };
      const double tall = (0.1 + 0.5 * u(2)) * height, wide = (0.1 + 0.5 * u(3)) * width;
      const double y = u(0) * (height - tall), x = u(1) * (width - wide);
      result[size_t(n)].boxes.push_back({float(y), float(x), float(y + tall), float(x + wide)});
      result[size_t(n)].labels.push_back(int32_t(u(4) * classes));
    }
  return result;
}

// The distance of values from what formula.sample() kept of a reference's: the larger of the relative
// differences of the norms and of the sampled numbers. `floor` replaces smaller norms.
inline double difference(const std::string& name, const std::vector<double>& values,
                         const std::vector<double>& kept, double floor = 1e-30) {
  double norm = 0;
  for (const double v : values) norm += v * v;
  norm = std::sqrt(norm);
  if (values.size() != size_t(kept[1])) return INFINITY;
  const size_t count = kept.size() - 2;
  const Words words("places of " + name);
  double off = 0, size = 0;
  for (size_t i = 0; i < count; ++i) {
    const size_t place = values.size() > count ? size_t(words.word(int64_t(i)) % values.size()) : i;
    off += std::pow(values[place] - kept[2 + i], 2);
    size += std::pow(kept[2 + i], 2);
  }
  const double share = std::sqrt(double(count) / double(values.size()));
  return std::max(std::abs(norm - kept[0]) / std::max(kept[0], floor),
                  std::sqrt(off) / std::max(std::sqrt(size), floor * share));
}

}  // namespace fovea::formula
