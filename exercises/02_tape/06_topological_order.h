// Exercise 6: put a tape in order
//
// Goal:      All nodes that a result was computed from, each once, inputs before what uses them.
// Builds on: 5
// Minutes:   30
// Source:    Cormen et al., Introduction to Algorithms, "Topological sort"; run_backward in
//            core/autograd.cpp, which sorts by the order of creation instead
#pragma once
#include <set>
#include <vector>

#include "tape.h"

using fovea::learn::Node;
using fovea::learn::Value;

// The backward pass walks this list from its end: a node's gradient is complete when all nodes that use it
// have had their turn. The list begins with a leaf and ends with root. A node that is used several times is
// in it once.
//
// A depth-first search appends a node when all of its inputs are in the list. Recursive, it takes a stack
// frame for each node of the longest path, and a long tape overflows the stack; keep a std::vector as your
// own stack instead.
inline std::vector<Node*> topological_order(const Value& root) {
  std::vector<Node*> order;
  // ---- your code: 10 to 15 lines ----
  order.push_back(root.get());
  // ---- end ----
  return order;
}
