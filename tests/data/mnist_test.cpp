#include "train/data/loader/mnist.h"

#include <catch2/catch.hpp>
#include <string>

#include "core/error.h"
#include "core/file.h"
#include "tests/support/idx.h"
#include "tests/support/test_data.h"

using namespace fovea;
using namespace std::string_literals;
using Catch::Contains;

TEST_CASE("MNIST's files are images from 0 to 1 with their digits") {
  const TemporaryFolder folder;
  write_file_atomically(folder / "train-images-idx3-ubyte", idx("\2\1\2", "\0\xff\x33\0"s));
  write_file_atomically(folder / "train-labels-idx1-ubyte", idx("\2", "\7\0"s));
  const auto train = mnist(folder.path(), true);
  CHECK(train->size() == 2);
  CHECK(train->class_names()[7] == "7");
  Random random;
  const Example first = train->get(0, random);
  CHECK(first.input.shape() == Shape{1, 2, 1});
  CHECK(first.input.values() == std::vector<double>{0, 1});
  CHECK(first.target.item() == 7);
  CHECK(train->get(1, random).input.values() == std::vector<double>{51.f / 255, 0});

  CHECK_THROWS_WITH(mnist(folder.path(), false), Contains("t10k-images-idx3-ubyte cannot be read"));
  write_file_atomically(folder / "train-labels-idx1-ubyte", idx("\2", "\7\x0a"s));
  CHECK_THROWS_WITH(mnist(folder.path(), true),
                    Contains("train-labels-idx1-ubyte has the label 10 at offset 9: labels are 0 to 9"));
  write_file_atomically(folder / "train-labels-idx1-ubyte", idx("\1", "\7"));
  CHECK_THROWS_WITH(mnist(folder.path(), true),
                    Contains("idx3-ubyte has 2 images, but") && Contains("has 1 labels"));
  write_file_atomically(folder / "train-images-idx3-ubyte", idx("\2\1", "\0\0"s));
  CHECK_THROWS_WITH(mnist(folder.path(), true), Contains("has the sizes 2x1: images have three"));
}
