#include "train/data/loader/idx.h"

#include <catch2/catch.hpp>
#include <string>

#include "core/error.h"
#include "core/file.h"
#include "tests/support/idx.h"
#include "tests/support/test_data.h"

using namespace fovea;
using namespace std::string_literals;
using Catch::Contains;

namespace {

std::string message(const std::string& content) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "x", content);
  try {
    read_idx(folder / "x");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("an IDX file is a tensor of its sizes") {
  const TemporaryFolder folder;
  write_file_atomically(folder / "x", idx("\2\1\3", "\0\1\2\3\4\xff"s));
  const Tensor x = read_idx(folder / "x");
  CHECK(x.dtype() == DType::uint8);
  CHECK(x.shape() == Shape{2, 1, 3});
  CHECK(x.values() == std::vector<double>{0, 1, 2, 3, 4, 255});
}

TEST_CASE("a damaged IDX file is an error with its position") {
  CHECK_THAT(message("\0\0\x08"s), Contains("has 3 bytes"));
  CHECK_THAT(message("\x1f\x8b\x08\0"s), Contains("is compressed: unpack it with gunzip"));
  CHECK_THAT(message("PK\3\4"s), Contains("begins with the bytes 0x50 0x4b"));
  CHECK_THAT(message("\0\0\x0d\1"s), Contains("holds numbers of type 0x0d (offset 2)"));
  CHECK_THAT(message("\0\0\x08\0"s), Contains("has rank 0 (offset 3)"));
  CHECK_THAT(message("\0\0\x08\7"s), Contains("has rank 7 (offset 3)"));
  CHECK_THAT(message("\0\0\x08\2\0\0\0\1"s), Contains("has 8 bytes: it ends within its header"));
  CHECK_THAT(message(idx("\2\3", "12345")), Contains("has 5 bytes after its header") && Contains("2 x 3"));
  CHECK_THAT(message(idx("\2\3", "1234567")), Contains("has 7 bytes after its header"));
  CHECK_THAT(message("\0\0\x08\3"s + std::string(12, '\xff') + "1"),
             Contains("has 1 bytes after its header"));
  CHECK_THROWS_WITH(read_idx("nowhere/x"), Contains("nowhere/x cannot be read"));
  const TemporaryFolder folder;
  write_file_atomically(folder / "x.gz", "");
  CHECK_THROWS_WITH(read_idx(folder / "x"),
                    Contains("x does not exist, but") && Contains("gunzip " + folder.path()));
}
