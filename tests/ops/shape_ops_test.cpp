#include "ops/shape_ops.h"

#include <catch2/catch.hpp>

#include "ops/support/check_op.h"

using namespace fovea;

TEST_CASE("concat, slice and reshape by hand") {
  const Tensor a = from_values({2, 1}, {1, 2}), b = from_values({2, 2}, {3, 4, 5, 6});
  const Tensor c = concat({a, b}, 1);
  CHECK(c.values() == std::vector<double>{1, 3, 4, 2, 5, 6});
  CHECK(slice(c, 1, 1, 2).values() == std::vector<double>{3, 5});
  CHECK(concat({b, b}, 0).shape() == Shape{4, 2});
  CHECK(reshape(c, {3, 2}).values() == c.values());
  CHECK(slice(c, 0, 1, 1).numel() == 0);
}

TEST_CASE("casts between dtypes") {
  const Tensor x = from_values({3}, {1.75, -2.5, 300});
  CHECK(cast(x, DType::int32).values() == std::vector<double>{1, -2, 300});
  CHECK(cast(from_values({2}, {7, 255}, DType::uint8), DType::float32).values() ==
        std::vector<double>{7, 255});
  CHECK(cast(from_values({1}, {1.00390625}), DType::bfloat16).values() == std::vector<double>{1});
  // An int64 keeps what a float would round.
  const Tensor large = from_span<int64_t>({1}, std::vector<int64_t>{(int64_t(1) << 53) + 1});
  for (const Device device : {Device::cpu, Device::cuda})
    CHECK(cast(cast(large.to(device), DType::int32), DType::int64).item() == 1);
  const Tensor leaf = from_values({2}, {1, 2}).set_requires_grad();
  cast(leaf, DType::float64).backward(from_values({2}, {3, 4}, DType::float64));
  CHECK(leaf.grad().values() == std::vector<double>{3, 4});
  leaf.clear_grad();
  cast(cast(leaf, DType::bfloat16), DType::float32).backward(from_values({2}, {3, 4}));
  CHECK(leaf.grad().values() == std::vector<double>{3, 4});
  CHECK_THROWS_WITH(cast(leaf, DType::int32),
                    "[cast] a tensor converted to integers requires a gradient, which this op does not "
                    "compute: detach() it first");
  CHECK_THROWS_WITH(cast(leaf, DType::int64), Catch::Contains("requires a gradient"));
  CHECK(cast(leaf.detach(), DType::int32).values() == std::vector<double>{1, 2});
}

TEST_CASE("casts on CUDA are those on the CPU") {
  Random random(5);
  constexpr DType all[] = {DType::float32, DType::float64, DType::bfloat16,
                           DType::int32,   DType::int64,   DType::uint8};
  for (int64_t n : {0, 1, 5, 1031})
    for (DType from : all)
      for (DType to : all) {
        // Negative numbers, which an 8-bit integer does not have, only between the other types.
        const bool small = from == DType::uint8 || to == DType::uint8;
        const Tensor x = cast(rand({n}, random, small ? 0 : -1e4, small ? 255 : 1e4), from);
        CHECK(cast(x.to(Device::cuda), to).values() == cast(x, to).values());
      }
}

TEST_CASE("joining and cutting on CUDA for words of each size") {
  Random random(7);
  // Rows of many bytes, few, and any number of them; offsets by 16, 4, 2 and 1 byte.
  for (DType dtype : {DType::float32, DType::bfloat16, DType::int64, DType::uint8})
    for (const auto& [shape, axis, cut] : std::vector<std::tuple<Shape, int, int64_t>>{{{1}, 0, 1},
                                                                                       {{5000}, 0, 16},
                                                                                       {{5000}, 0, 3},
                                                                                       {{300, 2, 16}, 1, 1},
                                                                                       {{300, 24}, 1, 8},
                                                                                       {{7, 13}, 1, 5}}) {
      const Tensor x = cast(rand(shape, random, 0, 255), dtype), on_cuda = x.to(Device::cuda);
      const int64_t size = shape[axis];
      const Tensor y = slice(on_cuda, axis, cut, size), rest = slice(on_cuda, axis, 0, cut);
      CHECK(y.values() == slice(x, axis, cut, size).values());
      CHECK(concat({rest, y}, axis).values() == x.values());
    }
  CHECK_THROWS_WITH(concat({zeros({2}), zeros({2}, DType::float32, Device::cuda)}, 0),
                    Catch::Contains("is on cpu"));
}

TEST_CASE("transposing exchanges two axes") {
  for (const Device device : {Device::cpu, Device::cuda}) {
    const Tensor x = from_values({2, 3}, {1, 2, 3, 4, 5, 6}).to(device);
    CHECK(transpose(x, 0, 1).shape() == Shape{3, 2});
    CHECK(transpose(x, -1, 0).values() == std::vector<double>{1, 4, 2, 5, 3, 6});
    CHECK(transpose(x, 1, -1).raw() == x.raw());  // nothing to do
    CHECK(transpose(zeros({0, 3}).to(device), 0, 1).shape() == Shape{3, 0});
    CHECK_THROWS_WITH(transpose(x, 0, 2), Catch::Contains("2x3 has no axis 2"));
  }
}

TEST_CASE("transposing of words of each size, by tiles and by rows, against the definition") {
  Random random(9);
  const std::vector<std::tuple<Shape, int, int>> cases = {
      {{1, 1}, 0, 1},      {{1, 7}, 0, 1},       {{32, 32}, 0, 1},       {{33, 65}, 0, 1},
      {{2, 37, 41}, 1, 2}, {{3, 2, 5, 7}, 1, 3}, {{5, 3, 67}, 0, 2},     {{5, 7, 3}, 0, 1},
      {{5, 7, 16}, 0, 1},  {{40, 35, 2}, 0, 1},  {{2, 3, 4, 5, 6}, 1, 3}};
  for (const DType dtype : {DType::float32, DType::float64, DType::bfloat16, DType::uint8})
    for (const auto& [shape, a, b] : cases) {
      const Tensor x = cast(rand(shape, random, 0, 255), dtype), y = transpose(x, a, b);
      Shape exchanged = shape;
      exchanged.set(a, shape[b]);
      exchanged.set(b, shape[a]);
      REQUIRE(y.shape() == exchanged);
      const std::vector<double> from = x.values(), to = y.values();
      bool same = true;
      for (int64_t i = 0; i < x.numel(); ++i) {
        std::vector<int64_t> index(size_t(shape.rank()));
        int64_t rest = i, at = 0;
        for (int axis = shape.rank() - 1; axis >= 0; --axis) {
          index[size_t(axis)] = rest % shape[axis];
          rest /= shape[axis];
        }
        std::swap(index[size_t(a)], index[size_t(b)]);
        for (int axis = 0; axis < shape.rank(); ++axis) at = at * exchanged[axis] + index[size_t(axis)];
        same = same && to[size_t(at)] == from[size_t(i)];
      }
      CHECK(same);
      CHECK(transpose(x.to(Device::cuda), a, b).values() == to);
    }
}

TEST_CASE("gradients of transposing") {
  Random random(10);
  for (const auto& [shape, a, b] : std::vector<std::tuple<Shape, int, int>>{
           {{1, 1}, 0, 1}, {{7, 5}, 0, 1}, {{2, 33, 35}, 1, 2}, {{3, 5, 7, 2}, 0, -2}})
    CHECK_NOTHROW(check_op([a = a, b = b](const Tensors& in) { return transpose(in[0], a, b); },
                           {randn(shape, random, DType::float64)}, {.max_probes = 20}));
}

TEST_CASE("gradients of joining and cutting") {
  Random random(3);
  for (int axis : {0, 1, 2, -1}) {
    Shape sa{3, 5, 7}, sb{3, 5, 7};
    sb.set(axis, 2);
    const Tensor a = randn(sa, random, DType::float64), b = randn(sb, random, DType::float64);
    CHECK_NOTHROW(check_op([=](const Tensors& in) { return concat({in[0], in[1], in[0]}, axis); }, {a, b}));
    CHECK_NOTHROW(check_op([=](const Tensors& in) { return slice(in[0], axis, 1, 3); }, {a}));
  }
  CHECK_NOTHROW(check_op(
      [](const Tensors& in) {
        return reshape(in[0], {4, 3});
      },
      {randn({2, 6}, random, DType::float64)}));
}

TEST_CASE("joining and cutting refuse what does not fit") {
  CHECK_THROWS_WITH(concat({}, 0), Catch::Contains("no tensors"));
  CHECK_THROWS_WITH(concat({zeros({2, 3}), zeros({3, 3})}, 1),
                    Catch::Contains("2x3") && Catch::Contains("3x3"));
  CHECK_THROWS_WITH(slice(zeros({2, 3}), 1, 2, 4), Catch::Contains("2 to 4 lies outside"));
  CHECK_THROWS_WITH(reshape(zeros({2, 3}), {5}), Catch::Contains("6 elements"));
}
