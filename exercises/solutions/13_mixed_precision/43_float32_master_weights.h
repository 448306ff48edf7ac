// Exercise 43: the update that bfloat16 loses
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
  // The float weight collects what is too small for bfloat16 to hold; nothing but the rounded copy is
  // computed with.
  float master = float(start);
  for (int i = 0; i < steps; ++i) master -= float(rate * gradient_at(round(master)));
  return round(master);
}
