// Exercise 43: the update that bfloat16 loses
//
// Goal:      Train a bfloat16 weight without losing the small updates: keep it in float, and round a copy.
// Builds on: 42
// Minutes:   20
// Source:    arXiv 1710.03740, section 3.1 (master copy of the weights); docs/training.md, "bfloat16"
#pragma once
#include <cstdint>
#include <functional>

// `round` gives the nearest bfloat16 number, as a double. The network computes with bfloat16 weights:
// gradient_at(w) may only be called with a number that round() gave. Do `steps` steps of w = w - rate *
// gradient, from `start`, and return the bfloat16 weight that the network has at the end. A weight that is
// kept in bfloat16 only cannot move by less than half of its last place, 1/512 of itself: all smaller updates
// are lost, however many come.
inline double train(double start, double rate, int steps, const std::function<double(double)>& round,
                    const std::function<double(double)>& gradient_at) {
  // ---- your code: 3 to 5 lines ----
  double weight = round(start);
  for (int i = 0; i < steps; ++i) weight = round(weight - rate * gradient_at(weight));
  return weight;
  // ---- end ----
}
