#include "core/print.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <sstream>

#include "core/dry_run.h"

using namespace fovea;

namespace {

// The numbers 0, 1, 2, ... of a shape.
Tensor counted(Shape shape, DType dtype = DType::float32) {
  std::vector<double> values(size_t(shape.numel()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = double(i);
  return from_values(shape, values, dtype);
}

std::string text(const std::vector<double>& values, DType dtype = DType::float32) {
  const std::string all = to_string(from_values({int64_t(values.size())}, values, dtype));
  return all.substr(all.find('\n') + 1);
}

}  // namespace

TEST_CASE("a tensor prints its dtype, shape, device and numbers, by fmt and to a stream") {
  const Tensor x = from_values({2, 3}, {0.25, 1, 2, -1.5, NAN, 0});
  const std::string expected =
      "float32 2x3 on cpu\n"
      "[[ 0.25  1.    2.  ]\n"
      " [-1.5    nan  0.  ]]";
  CHECK(to_string(x) == expected);
  CHECK(fmt::format("{}", x) == expected);
  std::ostringstream stream;
  stream << x;
  CHECK(stream.str() == expected);
  CHECK(to_string(x.to(Device::cuda)) ==
        "float32 2x3 on cuda\n"
        "[[ 0.25  1.    2.  ]\n"
        " [-1.5    nan  0.  ]]");
}

TEST_CASE("scalars, empty and undefined tensors and those of a dry run print") {
  CHECK(to_string(full({}, 2.5)) == "float32 scalar on cpu\n2.5");
  CHECK(to_string(full({}, 7, DType::int32)) == "int32 scalar on cpu\n7");
  CHECK(to_string(zeros({0, 3})) == "float32 0x3 on cpu\n[]");
  CHECK(to_string(Tensor()) == "undefined tensor");
  const DryRun dry_run;
  CHECK(to_string(zeros({4, 3})) == "float32 4x3 on cpu, made by a dry run: it has no numbers");
}

TEST_CASE("integers print without a point and whole") {
  CHECK(text({1, -20, 3}, DType::int32) == "[  1 -20   3]");
  CHECK(text({0, 255}, DType::uint8) == "[  0 255]");
  const std::vector<int64_t> large = {(int64_t(1) << 53) + 1, -1};
  CHECK(to_string(from_span<int64_t>({2}, large)) == "int64 2 on cpu\n[9007199254740993               -1]");
}

TEST_CASE("numbers print with up to four decimals, or all with exponents") {
  CHECK(text({1, 2.5}) == "[1.  2.5]");
  CHECK(text({0.1, 0.33333333, 12.5}) == "[ 0.1     0.3333 12.5   ]");
  CHECK(text({0.1, 2}, DType::bfloat16) == "[0.1001 2.    ]");
  CHECK(text({0.001, 5}) == "[1.e-03 5.e+00]");
  CHECK(text({1.25e8, 0, -3e8}) == "[ 1.25e+08  0.00e+00 -3.00e+08]");
  CHECK(text({2e-5}) == "[2.e-05]");
  CHECK(text({0, -0.0}) == "[ 0. -0.]");
  CHECK(text({NAN, INFINITY, -INFINITY}) == "[ nan  inf -inf]");
  CHECK(text({1, 2.25, -INFINITY}) == "[1.   2.25 -inf]");
}

TEST_CASE("axes of more than two are nested, with an empty line between matrices") {
  CHECK(to_string(counted({2, 2, 2}, DType::int32)) ==
        "int32 2x2x2 on cpu\n"
        "[[[0 1]\n"
        "  [2 3]]\n"
        "\n"
        " [[4 5]\n"
        "  [6 7]]]");
}

TEST_CASE("a large tensor shows the ends of its long axes, and a long row is wrapped") {
  CHECK(to_string(counted({1001}, DType::int32)) == "int32 1001 on cpu\n[   0    1    2 ...  998  999 1000]");
  CHECK(to_string(counted({200, 6}, DType::int32)) ==
        "int32 200x6 on cpu\n"
        "[[   0    1    2    3    4    5]\n"
        " [   6    7    8    9   10   11]\n"
        " [  12   13   14   15   16   17]\n"
        " ...\n"
        " [1182 1183 1184 1185 1186 1187]\n"
        " [1188 1189 1190 1191 1192 1193]\n"
        " [1194 1195 1196 1197 1198 1199]]");
  // Numbers that are not shown do not affect the format.
  std::vector<double> hidden(2000, 1);
  hidden[1000] = 1e20;
  CHECK(text(hidden) == "[1. 1. 1. ... 1. 1. 1.]");
  CHECK(to_string(counted({40}, DType::int32)) ==
        "int32 40 on cpu\n"
        "[ 0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15 16 17 18 19 20 21 22 23\n"
        " 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39]");
}
