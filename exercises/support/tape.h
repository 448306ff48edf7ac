#pragma once
// A tape of scalars, for the exercises of chapter 2. core/autograd.h is the same for tensors.
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace fovea::learn {

struct Node;
using Value = std::shared_ptr<Node>;  // several nodes may have the same input

// A number, and how it was computed.
struct Node {
  const char* op = "leaf";
  double value = 0;
  std::vector<Value> inputs;  // in order; empty for a leaf
  // Given d(loss)/d(this value), returns d(loss)/d(input) for each input, in order. Empty for a leaf.
  std::function<std::vector<double>(double)> backward;
  double gradient = 0;  // d(loss)/d(this value), once it is known

  // Nodes that free their inputs, which free theirs, would recurse: a long tape would overflow the stack.
  ~Node() {
    std::vector<Value> dying = std::move(inputs);
    while (!dying.empty()) {
      const Value node = std::move(dying.back());
      dying.pop_back();
      if (node && node.use_count() == 1)
        for (Value& input : node->inputs) dying.push_back(std::move(input));
    }
  }
};

// A value that was not computed: an input, or a parameter.
inline Value leaf(double value) {
  auto node = std::make_shared<Node>();
  node->value = value;
  return node;
}

// a + b. A change of either changes the sum by as much: both get the sum's gradient.
inline Value record_sum(const Value& a, const Value& b) {
  auto node = std::make_shared<Node>();
  node->op = "add";
  node->value = a->value + b->value;
  node->inputs = {a, b};
  node->backward = [](double gradient) { return std::vector<double>{gradient, gradient}; };
  return node;
}

}  // namespace fovea::learn
