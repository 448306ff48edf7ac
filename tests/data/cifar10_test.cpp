#include "train/data/loader/cifar10.h"

#include <catch2/catch.hpp>
#include <string>

#include "core/error.h"
#include "core/file.h"
#include "tests/support/test_data.h"

using namespace fovea;
using Catch::Contains;

TEST_CASE("CIFAR-10's records are images of three planes with their classes") {
  const TemporaryFolder folder;
  const auto record = [](char label, char red, char green, char blue) {
    return label + std::string(1024, red) + std::string(1024, green) + std::string(1024, blue);
  };
  std::string planes = record(9, '\xff', '\x33', '\0');
  planes[1 + 33] = '\0';  // red of row 1, column 1
  write_file_atomically(folder / "test_batch.bin", record(0, 0, 0, 0) + planes);
  const auto test = cifar10(folder.path(), false);
  CHECK(test->size() == 2);
  Random random;
  CHECK(test->class_names()[size_t(test->get(0, random).target.item())] == "airplane");
  const Example second = test->get(1, random);
  CHECK(test->class_names()[size_t(second.target.item())] == "truck");
  CHECK(second.input.shape() == Shape{32, 32, 3});
  const auto x = second.input.values();
  CHECK(std::vector<double>(x.begin(), x.begin() + 3) == std::vector<double>{1, 51.f / 255, 0});
  CHECK(std::vector<double>(x.begin() + 99, x.begin() + 102) == std::vector<double>{0, 51.f / 255, 0});

  for (int i = 1; i <= 5; ++i)
    write_file_atomically(folder / ("data_batch_" + std::to_string(i) + ".bin"), record(char(i), 0, 0, 0));
  const auto train = cifar10(folder.path(), true);
  CHECK(train->size() == 5);
  CHECK(train->get(4, random).target.item() == 5);
  write_file_atomically(folder / "data_batch_3.bin", record(0, 0, 0, 0) + record(10, 0, 0, 0));
  CHECK_THROWS_WITH(cifar10(folder.path(), true),
                    Contains("data_batch_3.bin has the label 10 at offset 3073: labels are 0 to 9"));
  write_file_atomically(folder / "data_batch_3.bin", "12");
  CHECK_THROWS_WITH(cifar10(folder.path(), true),
                    Contains("data_batch_3.bin has 2 bytes, but records of 3073"));
  CHECK_THROWS_WITH(cifar10("nowhere", true),
                    Contains("nowhere/data_batch_1.bin does not exist: give the folder"));
}
