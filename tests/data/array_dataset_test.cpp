#include "train/data/loader/array_dataset.h"

#include <catch2/catch.hpp>

#include "core/error.h"

using namespace fovea;
using Catch::Contains;

namespace {

std::vector<double> inputs_of(const Dataset& dataset) {
  std::vector<double> all;
  Random random;
  for (int64_t i = 0; i < dataset.size(); ++i) all.push_back(dataset.get(i, random).input.item());
  return all;
}

}  // namespace

TEST_CASE("arrays give an example for each index of their first axis") {
  Random random;
  const Tensor inputs = from_values({3, 2}, {1, 2, 3, 4, 5, 6});
  const auto regression =
      array_dataset(inputs, from_values({3, 1, 2}, {7, 8, 9, 10, 11, 12}, DType::float64));
  CHECK(regression->size() == 3);
  CHECK(regression->class_names().empty());
  const Example example = regression->get(1, random);
  CHECK(example.input.shape() == Shape{2});
  CHECK(example.input.values() == std::vector<double>{3, 4});
  CHECK(example.target.shape() == Shape{1, 2});
  CHECK(example.target.dtype() == DType::float64);
  CHECK(example.target.values() == std::vector<double>{9, 10});
  CHECK_THROWS_WITH(regression->get(3, random), Contains("there is no example 3: there are 3"));

  const Tensor labels = from_values({3}, {0, 1, 1}, DType::int32);
  const auto classes = array_dataset(from_values({3, 1}, {0, 51, 255}, DType::uint8), labels,
                                     {.class_names = {"a", "b"}, .unit_range = true});
  CHECK(classes->class_names().size() == 2);
  CHECK(classes->get(1, random).target.shape() == Shape());
  CHECK(classes->get(1, random).input.dtype() == DType::float32);
  CHECK(inputs_of(*classes) == std::vector<double>{0, 51.f / 255, 1});
}

TEST_CASE("arrays that do not match are refused") {
  const Tensor x = zeros({3, 2}), labels = from_values({3}, {0, 1, 2}, DType::int32);
  CHECK_THROWS_WITH(array_dataset(x, zeros({2})), Contains("the inputs are 3x2 and the targets 2"));
  CHECK_THROWS_WITH(array_dataset(x, zeros(Shape())), Contains("the targets are a scalar"));
  CHECK_THROWS_WITH(array_dataset(x.to(Device::cuda), labels), Contains("the inputs are on the GPU"));
  CHECK_THROWS_WITH(array_dataset(x, labels, {.unit_range = true}), Contains("but these are float32"));
  CHECK_THROWS_WITH(array_dataset(x, labels, {.class_names = {"a", "b"}}),
                    Contains("a target is 2, but there are 2 `class_names`"));
  CHECK_THROWS_WITH(array_dataset(x, zeros({3}), {.class_names = {"a"}}), Contains("must be int32"));
}
