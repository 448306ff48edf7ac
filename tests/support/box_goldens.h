#pragma once
#include <cstdint>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "models/box.h"

namespace fovea {

// tests/golden/<name>.json, made by make_box_goldens.py.
inline nlohmann::json read_golden(const std::string& name) {
  const std::string path = std::string(FOVEA_SOURCE_DIR) + "/tests/golden/" + name + ".json";
  std::ifstream file(path);
  if (!file) throw std::runtime_error(path + " cannot be read: run tests/golden/make_box_goldens.py");
  return nlohmann::json::parse(file);
}

// Four numbers per box, in the order of Box.
inline std::vector<Box> boxes_of(const nlohmann::json& numbers) {
  const auto flat = numbers.get<std::vector<float>>();
  std::vector<Box> boxes;
  for (size_t i = 0; i + 3 < flat.size(); i += 4)
    boxes.push_back({flat[i], flat[i + 1], flat[i + 2], flat[i + 3]});
  return boxes;
}

// The random numbers of make_box_goldens.py.
class Uniform {
 public:
  explicit Uniform(uint32_t seed) : state_(seed) {}
  double operator()() {  // [0, 1)
    state_ = state_ * 1664525u + 1013904223u;
    return double(state_ >> 8) / (1 << 24);
  }
  int below(int n) { return int((*this)() * n); }
  std::vector<float> array(size_t count, double low, double high) {
    std::vector<float> values;
    for (size_t i = 0; i < count; ++i) values.push_back(float(low + (*this)() * (high - low)));
    return values;
  }

 private:
  uint32_t state_;
};

}  // namespace fovea
