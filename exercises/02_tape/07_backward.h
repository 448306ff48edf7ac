// Exercise 7: the backward pass
//
// Goal:      d(loss)/d(node) for all nodes of a tape, by the chain rule from the loss back to the leaves.
// Builds on: 5, 6
// Minutes:   20
// Source:    d(loss)/dx = sum over the nodes y that use x of d(loss)/dy dy/dx; run_backward in
//            core/autograd.cpp
#pragma once
#include <vector>

#include "tape.h"

using fovea::learn::Node;
using fovea::learn::Value;

// `order` has all nodes of a tape, inputs before what uses them; the loss is the last. All gradients are 0
// when this is called. Afterwards each node's `gradient` is d(loss)/d(its value). A leaf's `backward` is
// empty: do not call it.
inline void backward(const std::vector<Node*>& order) {
  // ---- your code: 5 to 9 lines ----
  (void)order;
  // ---- end ----
}
