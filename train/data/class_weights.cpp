#include "train/data/class_weights.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/error.h"
#include "train/data/problem.h"

namespace fovea {
namespace {

constexpr double least = 0.001, most = 1000;

std::vector<double> inverse_roots(const std::vector<int64_t>& counts) {
  std::vector<double> weights(counts.size(), 1);
  double sum = 0;
  int64_t present = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) continue;
    weights[i] = 1 / std::sqrt(double(counts[i]));
    sum += weights[i];
    ++present;
  }
  for (size_t i = 0; i < counts.size(); ++i)
    if (counts[i] > 0) weights[i] *= double(present) / sum;
  return weights;
}

}  // namespace

std::vector<std::pair<std::string, double>> parse_class_weights(const std::string& text) {
  std::vector<std::pair<std::string, double>> pairs;
  if (text == "none" || text == "auto") return pairs;
  const char* const end = text.data() + text.size();
  for (size_t begin = 0; begin <= text.size();) {
    size_t equals = text.find('=', begin), next = std::string::npos;
    double weight = 0;
    for (; equals != std::string::npos && next == std::string::npos; equals = text.find('=', equals + 1)) {
      const auto [stop, error] = std::from_chars(text.data() + equals + 1, end, weight);
      if (error != std::errc() || (stop != end && *stop != ',')) continue;
      next = size_t(stop - text.data()) + 1;
      break;
    }
    require(next != std::string::npos && equals > begin,
            "`class_weights` is '{}': give none, auto, or names and weights such as cat=0.5,dog=2", text);
    require(weight >= least && weight <= most,  // also false for NaN
            "`class_weights` is '{}': the weight {} is not from {} to {}", text, weight, least, most);
    const std::string name = text.substr(begin, equals - begin);
    for (const auto& [other, value] : pairs)
      require(other != name, "`class_weights` is '{}': class {} has two weights", text, name);
    pairs.emplace_back(name, weight);
    begin = next;
  }
  return pairs;
}

std::vector<double> class_weights(const std::string& text, const std::vector<std::string>& class_names,
                                  const std::vector<int64_t>& counts) {
  if (text == "none") return {};
  if (text == "auto") return inverse_roots(counts);
  std::vector<double> weights(class_names.size(), 1);
  for (const auto& [name, weight] : parse_class_weights(text)) {
    const auto found = std::find(class_names.begin(), class_names.end(), name);
    require(found != class_names.end(), "`class_weights` names the class '{}', but the data set has {}", name,
            some_of(class_names));
    weights[size_t(found - class_names.begin())] = weight;
  }
  return weights;
}

Tensor class_weight_tensor(const std::vector<double>& weights, Device device) {
  return weights.empty() ? Tensor() : from_values({int64_t(weights.size())}, weights).to(device);
}

std::string class_weights_text(const std::vector<double>& weights,
                               const std::vector<std::string>& class_names) {
  std::vector<std::string> parts;
  for (size_t i = 0; i < weights.size(); ++i)
    parts.push_back(fmt::format("{} {:.3g}", class_names[i], weights[i]));
  return parts.empty() ? "" : "; class weights " + some_of(parts);
}

}  // namespace fovea
