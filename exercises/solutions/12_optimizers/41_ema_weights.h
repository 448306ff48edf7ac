// Exercise 41: an average of the weights
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

// After step t, counted from 0:  average = d average + (1 - d) weights,  d = min(decay, (1 + t) / (10 + t)).
// The second bound is small at first: without it the average would be mostly the random weights of the start
// for thousands of steps.
inline void update_average(std::vector<double>& average, const std::vector<double>& weights, int64_t step,
                           double decay) {
  const double d = std::min(decay, double(1 + step) / double(10 + step));
  for (std::size_t i = 0; i < weights.size(); ++i) average[i] = d * average[i] + (1 - d) * weights[i];
}
