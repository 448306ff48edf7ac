#include "train/loop/nearest_name.h"

#include <catch2/catch.hpp>

using namespace fovea;

TEST_CASE("the nearest name has the fewest different letters, and is the first of several") {
  const std::vector<std::string> names = {"epochs", "steps", "mosaic", "seed"};
  CHECK(nearest_name("epoch", names) == "epochs");
  CHECK(nearest_name("mosaics", names) == "mosaic");
  CHECK(nearest_name("stepps", names) == "steps");
  CHECK(nearest_name("seed", names) == "seed");
  CHECK(nearest_name("", names) == "seed");
  CHECK(nearest_name("ab", {"ac", "ad"}) == "ac");
  CHECK_THROWS_WITH(nearest_name("a", {}), "[nearest_name] there are no names to compare 'a' with");
}
