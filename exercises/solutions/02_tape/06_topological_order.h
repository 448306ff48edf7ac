// Exercise 6: put a tape in order
#pragma once
#include <set>
#include <vector>

#include "tape.h"

using fovea::learn::Node;
using fovea::learn::Value;

inline std::vector<Node*> topological_order(const Value& root) {
  std::vector<Node*> order;
  // What a recursive search keeps in its frames: a node, and how many of its inputs it has looked at.
  struct Frame {
    Node* node;
    size_t next = 0;
  };
  std::vector<Frame> stack = {{root.get()}};
  std::set<Node*> found = {root.get()};  // those in `order` and those on the stack
  while (!stack.empty()) {
    Frame& top = stack.back();
    if (top.next == top.node->inputs.size()) {
      order.push_back(top.node);
      stack.pop_back();
    } else {
      // `top` is not used behind the push_back, which may move the frames.
      Node* input = top.node->inputs[top.next++].get();
      if (found.insert(input).second) stack.push_back({input});
    }
  }
  return order;
}
