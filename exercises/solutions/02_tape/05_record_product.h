// Exercise 5: record a product on the tape
#pragma once
#include "tape.h"

using fovea::learn::Node;
using fovea::learn::Value;

inline Value record_product(const Value& a, const Value& b) {
  auto node = std::make_shared<Node>();
  node->op = "multiply";
  node->value = a->value * b->value;
  node->inputs = {a, b};
  // Captured by copy: two numbers are all that the backward pass needs. To capture `node` itself would be a
  // cycle of shared pointers, which nothing frees.
  node->backward = [a = a->value, b = b->value](double gradient) {
    return std::vector<double>{gradient * b, gradient * a};
  };
  return node;
}
