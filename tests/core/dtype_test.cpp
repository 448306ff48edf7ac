#include "core/dtype.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <type_traits>

using namespace fovea;
using Catch::Contains;

namespace {
constexpr DType all[] = {DType::float32, DType::float64, DType::bfloat16,
                         DType::int32,   DType::int64,   DType::uint8};
}

TEST_CASE("each dtype has its name, its bytes and its C++ type") {
  const std::vector<std::pair<std::string, int64_t>> expected = {
      {"float32", 4}, {"float64", 8}, {"bfloat16", 2}, {"int32", 4}, {"int64", 8}, {"uint8", 1}};
  for (size_t i = 0; i < expected.size(); ++i) {
    CHECK(name(all[i]) == expected[i].first);
    CHECK(fmt::format("{:>9}", all[i]) == std::string(9 - expected[i].first.size(), ' ') + expected[i].first);
    CHECK(size_of(all[i]) == expected[i].second);
    CHECK(with_dtype(all[i], []<class T>() { return dtype_of<T>; }) == all[i]);
  }
}

TEST_CASE("floating dtypes are those that can have gradients") {
  for (const DType dtype : {DType::float32, DType::float64, DType::bfloat16}) CHECK(is_floating(dtype));
  for (const DType dtype : {DType::int32, DType::int64, DType::uint8}) CHECK_FALSE(is_floating(dtype));
}

TEST_CASE("ops that compute take float32 and float64, and name the others") {
  const auto bytes = []<class T>() { return sizeof(T); };
  CHECK(with_float_dtype(DType::float32, "matmul", bytes) == 4);
  CHECK(with_float_dtype(DType::float64, "matmul", bytes) == 8);
  for (const DType dtype : {DType::bfloat16, DType::int32, DType::int64, DType::uint8})
    CHECK_THROWS_WITH(
        with_float_dtype(dtype, "matmul", bytes),
        Contains("[matmul]") && Contains("got " + std::string(name(dtype))) && Contains("cast"));
  CHECK_THROWS_WITH(with_dtype(DType(9), bytes), Contains("dtype 9 does not exist"));
}

TEST_CASE("all 65536 bfloat16 numbers survive conversion to float and back") {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    bfloat16 number;
    number.bits = uint16_t(bits);
    const bfloat16 back{float(number)};
    if (std::isnan(float(number)))
      REQUIRE(std::isnan(float(back)));
    else
      REQUIRE(back.bits == bits);
  }
}

TEST_CASE("a float becomes the nearer of the two bfloat16 around it") {
  CHECK(float(bfloat16(-0.0f)) == 0.0f);
  CHECK(std::signbit(float(bfloat16(-0.0f))));
  CHECK(float(bfloat16(1.0f + 0.0078125f * 0.49f)) == 1.0f);
  CHECK(float(bfloat16(1.0f + 0.0078125f * 0.51f)) == 1.0078125f);
  CHECK(float(bfloat16(-3.1415927f)) == -3.140625f);
  CHECK(float(bfloat16(std::numeric_limits<float>::max())) == INFINITY);
  CHECK(
      std::isnan(float(bfloat16(std::bit_cast<float>(0x7F800001u)))));  // a NaN whose upper half is infinity
}
