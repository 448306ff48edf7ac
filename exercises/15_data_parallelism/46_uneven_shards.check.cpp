#include "check.h"

#include <46_uneven_shards.h>

using namespace fovea::learn;

namespace {

Statistics of(const std::vector<double>& x) {
  Statistics s{int64_t(x.size()), 0, 0};
  for (double v : x) s.mean += v / double(x.size());
  for (double v : x) s.variance += (v - s.mean) * (v - s.mean) / double(x.size());
  return s;
}

void expect_same(const Statistics& got, const Statistics& expected, const char* what) {
  expect_equal(got.count, expected.count, fmt::format("{}: count", what));
  expect_close(got.mean, expected.mean, fmt::format("{}: mean", what), 1e-9);
  expect_close(got.variance, expected.variance, fmt::format("{}: variance", what), 1e-9);
}

}  // namespace

STEP("one shard") { expect_same(merge({{4, 2, 3}}), {4, 2, 3}, "one shard of {4, 2, 3}"); }

STEP("equal shards with different means") {
  // {0, 2} and {4, 6}: means 1 and 5, variances 1 and 1; all: mean 3, variance 5
  expect_same(merge({{2, 1, 1}, {2, 5, 1}}), {4, 3, 5}, "{0, 2} and {4, 6}");
}

STEP("uneven shards") {
  // {0, 3, 6} and {9}: all: mean 4.5, variance 11.25
  expect_same(merge({{3, 3, 6}, {1, 9, 0}}), {4, 4.5, 11.25}, "{0, 3, 6} and {9}");
}

STEP("three shards of 5, 1 and 11 numbers far from zero") {
  std::vector<double> all;
  std::vector<Statistics> shards;
  for (int64_t count : {5, 1, 11}) {
    std::vector<double> x = sample(count, uint64_t(count));
    for (double& v : x) v += 1000;
    shards.push_back(of(x));
    all.insert(all.end(), x.begin(), x.end());
  }
  expect_same(merge(shards), of(all), "17 numbers near 1000");
}

STEP("an empty shard changes nothing") {
  expect_same(merge({{0, 0, 0}, {2, 1, 1}}), {2, 1, 1}, "0 and 2 numbers");
}
