#include "train/data/loader/split.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "core/error.h"
#include "train/data/loader/array_dataset.h"

using namespace fovea;
using Catch::Contains;

namespace {

std::vector<double> inputs_of(const Dataset& dataset) {
  std::vector<double> all;
  Random random;
  for (int64_t i = 0; i < dataset.size(); ++i) all.push_back(dataset.get(i, random).input.item());
  return all;
}

Tensor counting(int64_t count) {
  const Tensor result({count, 1});
  for (int64_t i = 0; i < count; ++i) result.data<float>()[i] = float(i);
  return result;
}

}  // namespace

TEST_CASE("a data set in two parts") {
  const auto whole = array_dataset(counting(10), zeros({10}, DType::int32), {.class_names = {"a"}});
  const auto [train, validation] = split(whole, 0.75, 5);
  CHECK(train->size() == 8);
  CHECK(validation->size() == 2);
  CHECK(train->class_names() == std::vector<std::string>{"a"});
  std::vector<double> all = inputs_of(*train), rest = inputs_of(*validation);
  CHECK(std::is_sorted(all.begin(), all.end()));
  CHECK(inputs_of(*split(whole, 0.75, 5).first) == all);
  CHECK(inputs_of(*split(whole, 0.75, 6).first) != all);
  all.insert(all.end(), rest.begin(), rest.end());
  std::sort(all.begin(), all.end());
  CHECK(all == std::vector<double>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  CHECK_THROWS_WITH(split(whole, 1), Contains("the share is 1: give one between 0 and 1"));
  CHECK_THROWS_WITH(split(whole, 0.01), Contains("a share of 0.01 of 10 examples leaves one part empty"));
}
