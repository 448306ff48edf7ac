#include "core/shape.h"

#include <catch2/catch.hpp>
#include <vector>

#include "core/error.h"

using namespace fovea;
using Catch::Contains;

TEST_CASE("axes count from either end") {
  const Shape shape{8, 56, 48, 24};
  CHECK(shape.rank() == 4);
  CHECK(shape[0] == 8);
  CHECK(shape[-2] == 48);
  CHECK(shape.axis(-1) == 3);
  CHECK(shape.axis(3) == 3);
  for (const int axis : {4, -5}) {
    CHECK_THROWS_WITH(shape.axis(axis), Contains("[Shape] 8x56x48x24 has no axis " + std::to_string(axis)));
    CHECK_THROWS_AS(shape[axis], Error);
    CHECK_THROWS_AS(shape.without(axis), Error);
  }
  CHECK_THROWS_WITH(Shape{}[0], Contains("scalar has no axis 0"));
}

TEST_CASE("a size is set by its axis") {
  Shape shape{2, 3};
  shape.set(-1, 7);
  CHECK(shape == Shape{2, 7});
  CHECK_THROWS_WITH(shape.set(0, -4), Contains("size -4 of axis 0 is negative"));
  CHECK_THROWS_WITH(shape.set(2, 1), Contains("has no axis 2"));
  CHECK(shape == Shape{2, 7});
}

TEST_CASE("an axis is removed wherever it is") {
  const Shape shape{2, 3, 5};
  CHECK(shape.without(0) == Shape{3, 5});
  CHECK(shape.without(-1) == Shape{2, 3});
  CHECK(Shape{4}.without(0) == Shape{});
}

TEST_CASE("shapes are equal by rank and sizes") {
  CHECK(Shape{2, 3} == Shape(std::vector<int64_t>{2, 3}));
  CHECK_FALSE(Shape{2, 3} == Shape{3, 2});
  CHECK_FALSE(Shape{2} == Shape{2, 1});
  CHECK_FALSE(Shape{} == Shape{0});  // sizes beyond the rank are not part of a shape
}

TEST_CASE("a shape prints its sizes") {
  CHECK(Shape{}.to_string() == "scalar");
  CHECK(Shape{0}.to_string() == "0");
  CHECK(fmt::format("{}", Shape{8, 1, 24}) == "8x1x24");
}

TEST_CASE("the product of sizes is 1 for a scalar, and does not overflow 32 bits") {
  CHECK(Shape{}.numel() == 1);
  CHECK(Shape{3, 0, 5}.numel() == 0);
  CHECK(Shape{1 << 20, 1 << 20}.numel() == int64_t(1) << 40);
}

TEST_CASE("more than six axes are refused") {
  CHECK(Shape{1, 2, 3, 4, 5, 6}.rank() == 6);
  CHECK_THROWS_WITH((Shape{1, 2, 3, 4, 5, 6, 7}), Contains("rank 7 is over the limit of 6"));
}
