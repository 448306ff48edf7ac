#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/tensor.h"

namespace fovea {

// The factors on the losses of the classes. `text` is the setting `class_weights`:
//   none                   no factors; the list is empty
//   auto                   1 / sqrt(objects of the class), scaled to a mean of 1 (arXiv 1901.05555: section 4
//                          has the scaling, the introduction the root, which is milder than 1 / objects). A
//                          class without objects has 1 and is not in the mean
//   NAME=WEIGHT,...        the weights of these classes, 1 for the others
// `counts` holds the training objects (or images) of each class. Throws Error if the text is none of these, a
// class is unknown or named twice, or a weight is not from 0.001 to 1000.
std::vector<double> class_weights(const std::string& text, const std::vector<std::string>& class_names,
                                  const std::vector<int64_t>& counts);

// The weights in the form that the losses take, float32 (classes); undefined if there are none.
Tensor class_weight_tensor(const std::vector<double>& weights, Device device);

// "; class weights cat 0.5, dog 2", to append to the description of a training; empty if there are none.
std::string class_weights_text(const std::vector<double>& weights,
                               const std::vector<std::string>& class_names);

// The names and weights in such a text; for none and auto there are no pairs. Names may contain commas and
// equals signs: a name ends at an equals sign that is followed by a number and a comma. Throws as
// class_weights() does, except for what depends on the classes.
std::vector<std::pair<std::string, double>> parse_class_weights(const std::string& text);

}  // namespace fovea
