#include "train/data/files/shared_files.h"

#include <catch2/catch.hpp>

#include "core/file.h"
#include "tests/support/test_data.h"

using namespace fovea;
using Catch::Contains;

TEST_CASE("files of equal bytes are found, whatever their names") {
  const TemporaryFolder folder;
  for (const auto& [name, content] : {std::pair("a", "one"), std::pair("b", "two"), std::pair("c", "one"),
                                      std::pair("d", "six"), std::pair("e", "")})
    write_file_atomically(folder / name, content);
  const std::vector<std::string> train{folder / "a", folder / "b", folder / "e", folder / "none"};
  const auto shared =
      shared_files(train, {folder / "c", folder / "d", folder / "e", folder / "none", folder / "b"});
  REQUIRE(shared.size() == 2);
  CHECK(shared[0] == std::pair(folder / "a", folder / "c"));
  CHECK(shared[1] == std::pair(folder / "b", folder / "b"));
  std::vector<std::string> warnings;
  warn_of_shared_files(train, {folder / "d"}, warnings);
  CHECK(warnings.empty());
  warn_of_shared_files(train, {folder / "c", folder / "d"}, warnings);
  CHECK_THAT(warnings.at(0), Contains("1 of the 2 validation images are also training images"));
}
