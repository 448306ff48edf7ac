#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/tensor.h"

namespace fovea {

// What the losses of each class are multiplied by. `text` is the setting `class_weights`:
//   none                   nothing; the list is empty
//   auto                   1 / sqrt(objects of the class), scaled to a mean of 1 (arXiv 1901.05555: section 4
//                          has the scaling, the introduction the root, which is milder than 1 / objects). A
//                          class without objects has 1, and no part in the mean
//   NAME=WEIGHT,...        the weights of these classes, 1 for the others
// counts: objects (or images) of each class to learn from. Throws where the text is none of these, a class is
// unknown or named twice, or a weight is not from 0.001 to 1000.
std::vector<double> class_weights(const std::string& text, const std::vector<std::string>& class_names,
                                  const std::vector<int64_t>& counts);

// Them as the losses take them, float32 (classes); undefined where there are none.
Tensor class_weight_tensor(const std::vector<double>& weights, Device device);

// "; class weights cat 0.5, dog 2", to follow the description of a training; empty where there are none.
std::string class_weights_text(const std::vector<double>& weights,
                               const std::vector<std::string>& class_names);

// The names and weights in such a text, for none and auto no pair. Names may hold commas and equals signs: a
// name ends at an equals sign with a number and a comma behind it. Throws as class_weights() does, but for
// what depends on the classes.
std::vector<std::pair<std::string, double>> parse_class_weights(const std::string& text);

}  // namespace fovea
