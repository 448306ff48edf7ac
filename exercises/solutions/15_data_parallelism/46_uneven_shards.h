// Exercise 46: batch statistics of several processes
#pragma once
#include <cstdint>
#include <vector>

// Each rank has a shard of the batch, and of it the count, the mean and the (biased) variance, sum (x -
// mean)^2 / count. Return those of the whole batch, so that batch norm computes on several processes what it
// computes on one. The mean of the means is right only where the shards are equal, and the mean of the
// variances not even then: the shards' means differ.
struct Statistics {
  int64_t count;
  double mean, variance;
};
inline Statistics merge(const std::vector<Statistics>& shards) {
  Statistics all{0, 0, 0};
  for (const Statistics& s : shards) {
    all.count += s.count;
    all.mean += double(s.count) * s.mean;
  }
  all.mean /= double(all.count);
  // Of each shard: what its numbers vary about their own mean, and what that mean is away from the mean of
  // all.
  for (const Statistics& s : shards) {
    const double distance = s.mean - all.mean;
    all.variance += double(s.count) * (s.variance + distance * distance);
  }
  all.variance /= double(all.count);
  return all;
}
