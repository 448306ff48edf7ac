// Exercise 5: record a product on the tape
//
// Goal:      A node for a * b that holds its inputs and the function that gives their gradients.
// Builds on: nothing
// Minutes:   20
// Source:    y = a b: d(loss)/da = d(loss)/dy b, d(loss)/db = d(loss)/dy a; lesson 2;
//            record in core/autograd.h
#pragma once
#include "tape.h"  // Value and Node: read it first, record_sum above all

using fovea::learn::Node;
using fovea::learn::Value;

// The new node's op is "multiply". Its `backward` may be called long after this function has returned, when
// the caller's variables a and b are gone or hold other values: what the function needs, it must hold itself.
inline Value record_product(const Value& a, const Value& b) {
  auto node = std::make_shared<Node>();
  // ---- your code: 4 to 6 lines ----
  (void)a, (void)b;
  // ---- end ----
  return node;
}
