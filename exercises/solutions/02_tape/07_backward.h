// Exercise 7: the backward pass
#pragma once
#include <vector>

#include "tape.h"

using fovea::learn::Node;
using fovea::learn::Value;

inline void backward(const std::vector<Node*>& order) {
  order.back()->gradient = 1;  // d(loss)/d(loss)
  // From the end: when a node's turn comes, all that use it have added their part, and its gradient is
  // complete.
  for (auto node = order.rbegin(); node != order.rend(); ++node) {
    if (!(*node)->backward) continue;
    const std::vector<double> gradients = (*node)->backward((*node)->gradient);
    for (size_t i = 0; i < gradients.size(); ++i) (*node)->inputs[i]->gradient += gradients[i];
  }
}
