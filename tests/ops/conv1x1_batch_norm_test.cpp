#include "ops/conv1x1_batch_norm.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "core/tape_observer.h"
#include "cuda/kernels/conv1x1_batch_norm.h"
#include "cuda/runtime/counters.h"
#include "cuda/runtime/device.h"
#include "ops/arithmetic.h"
#include "ops/matmul.h"
#include "ops/reduction.h"
#include "ops/shape_ops.h"
#include "ops/support/check_op.h"
#include "tests/support/same_gradients.h"

using namespace fovea;

namespace {

// x, w, and the norm's weight and bias.
Tensors random_inputs(const Shape& shape, int64_t out, Random& random, DType dtype = DType::float64) {
  const int64_t in = shape[-1];
  return {randn(shape, random, dtype), randn({in, out}, random, dtype) * (1 / std::sqrt(double(in))),
          randn({out}, random, dtype), randn({out}, random, dtype)};
}

// The norm of these inputs, with running averages of its own.
BatchNormTensors norm_of(const Tensors& in) {
  return {in[2], in[3], full(in[2].shape(), 0.25, in[2].dtype(), in[2].device()),
          full(in[2].shape(), 2, in[2].dtype(), in[2].device())};
}

BatchNormOptions options_with(Activation activation) {
  BatchNormOptions options;
  options.activation = activation;
  return options;
}

Tensor one_op(const Tensors& in, Activation activation) {
  return conv1x1_batch_norm(in[0], in[1], norm_of(in), options_with(activation));
}

Tensor two_ops(const Tensors& in, Activation activation) {
  const auto [weight, bias, mean, variance] = norm_of(in);
  return batch_norm(conv1x1(in[0], in[1]), weight, bias, mean, variance, options_with(activation));
}

std::string op_of(const Tensor& y) { return y.node() ? y.node()->op : ""; }

// In bfloat16, as training on CUDA has them: parameters stay float32.
Tensors on_cuda(const Tensors& in) {
  Tensors result{cast(in[0], DType::bfloat16).to(Device::cuda)};
  for (size_t i = 1; i < in.size(); ++i) result.push_back(cast(in[i], DType::float32).to(Device::cuda));
  for (const Tensor& input : result) input.set_requires_grad();
  return result;
}

}  // namespace

TEST_CASE("a 1x1 convolution with its batch norm and the gradients equal the two ops") {
  // More rows than a piece of the sums has, and a last piece and block that are not full.
  for (const Activation activation : all_activations) {
    Random random(3);
    CAPTURE(name(activation));
    const Tensors in = random_inputs({3, 83, 79, 5}, 23, random);
    REQUIRE(3 * 83 * 79 * 23 > 1 << 18);
    check_same_gradients([&](const Tensors& of) { return one_op(of, activation); },
                         [&](const Tensors& of) { return two_ops(of, activation); }, in, random, 1e-14,
                         1e-12);
    CHECK(op_of(one_op(in, activation)) == "conv1x1_batch_norm");
  }
}

TEST_CASE("gradients of a 1x1 convolution with its batch norm") {
  Random random(2);
  const std::pair<Shape, int64_t> sizes[] = {
      {{1, 512, 256, 2}, 2}, {{2, 181, 53, 3}, 17}, {{1, 64, 64, 16}, 96}};
  for (const auto& [shape, out] : sizes)
    for (const Activation activation : {Activation::identity, Activation::swish}) {
      CAPTURE(shape, out, name(activation));
      const auto op = [&](const Tensors& in) { return one_op(in, activation); };
      // On CUDA only bfloat16 is one op, which the tests below compare with two.
      // The difference of two sums of 300,000 terms has fewer digits than usual.
      CHECK_NOTHROW(check_op(op, random_inputs(shape, out, random),
                             {.gradient_tolerance = 1e-5, .max_probes = 6, .cuda = false}));
    }
}

TEST_CASE("a 1x1 convolution adds its gradient to what its input has from elsewhere") {
  Random random(4);
  for (const bool cuda : {false, true}) {
    CAPTURE(cuda);
    Tensors in = random_inputs({2, 128, 64, 8}, 48, random, cuda ? DType::float64 : DType::float32);
    if (cuda)
      in = on_cuda(in);
    else
      for (const Tensor& input : in) input.set_requires_grad();
    // The sum is made later, so its gradient comes first.
    const Tensor y = one_op(in, Activation::swish);
    CHECK(op_of(y) == "conv1x1_batch_norm");
    (sum(y * y) + 3 * sum(in[0])).backward();
    const Tensor both = in[0].grad().clone();
    in[0].clear_grad();
    const Tensor again = one_op(in, Activation::swish);
    sum(again * again).backward();
    const Tensor alone = cast(in[0].grad(), DType::float32);
    CHECK(relative_difference(cast(both, DType::float32), alone + 3) < (cuda ? 4e-3 : 1e-6));
  }
}

TEST_CASE("the kernel of both gradients on CUDA equals the norm and two products") {
  // All counts of parts, full and half ones, a last tile that is not full, tiles of 16 to 64 rows, and
  // several tiles for some blocks.
  struct Case {
    Shape shape;
    int64_t out;
    int parts, rows;
  };
  const Case cases[] = {
      {{1, 71, 59, 8}, 48, 1, 64},   {{2, 257, 83, 8}, 16, 1, 48},  {{1, 65, 64, 16}, 96, 1, 64},
      {{2, 47, 45, 16}, 256, 1, 32}, {{1, 97, 43, 24}, 144, 2, 64}, {{1, 64, 65, 48}, 64, 3, 48},
      {{1, 51, 41, 40}, 240, 3, 32}, {{1, 73, 57, 64}, 64, 4, 32},  {{1, 45, 47, 64}, 256, 4, 16}};
  for (const auto& [shape, out, parts, tile_rows] : cases) {
    CAPTURE(shape, out);
    const int64_t rows = shape.numel() / shape[-1], in = shape[-1];
    const auto tiles = cuda::Conv1x1GradientTiles::of(BatchNormDims::of_matrix(rows, out), in);
    CHECK(tiles.parts == parts);
    CHECK(tiles.rows == tile_rows);
    Random random(5);
    const Tensors numbers = random_inputs(shape, out, random);
    for (const Activation activation : {Activation::identity, Activation::swish}) {
      CAPTURE(name(activation));
      const Tensors one = on_cuda(numbers), two = on_cuda(numbers);
      const Tensor y = one_op(one, activation), reference = two_ops(two, activation);
      CHECK(op_of(y) == "conv1x1_batch_norm");
      CHECK(relative_difference(y, reference) < 1e-4);
      const Tensor dy = cast(randn(y.shape(), random, DType::float32), DType::bfloat16).to(Device::cuda);
      y.backward(dy);
      reference.backward(dy);
      // Both round dz to bfloat16. Its last digit, and the order of sums, may differ, because z's statistics
      // come from the product's kernel in one and from z in the other.
      CHECK(relative_difference(one[0].grad(), two[0].grad()) < 1e-3);
      CHECK(relative_difference(one[1].grad(), two[1].grad()) < 1e-4);
      CHECK(relative_difference(one[2].grad(), two[2].grad()) < 1e-6);
      CHECK(relative_difference(one[3].grad(), two[3].grad()) < 1e-6);
    }
  }
}

TEST_CASE("the kernel of both gradients has the same bits in any order of threads, near those of float64") {
  Random random(9);
  const Tensors numbers = random_inputs({1, 83, 67, 24}, 144, random);
  const Tensor dy = cast(randn({1, 83, 67, 144}, random), DType::bfloat16);
  const auto gradients = [&](cuda::ThreadOrder order) {
    cuda::set_thread_order(order);
    const Tensors in = on_cuda(numbers);
    one_op(in, Activation::swish).backward(dy.to(Device::cuda));
    cuda::set_thread_order(cuda::ThreadOrder::forward);
    return Tensors{in[0].grad(), in[1].grad(), in[2].grad(), in[3].grad()};
  };
  const Tensors forward = gradients(cuda::ThreadOrder::forward);
  for (const auto order : {cuda::ThreadOrder::reverse, cuda::ThreadOrder::shuffled}) {
    const Tensors other = gradients(order);
    for (size_t i = 0; i < forward.size(); ++i) CHECK(relative_difference(other[i], forward[i]) == 0);
  }
  Tensors exact;
  for (size_t i = 0; i < numbers.size(); ++i)
    exact.push_back(
        cast(i ? numbers[i] : cast(numbers[i], DType::bfloat16), DType::float64).set_requires_grad());
  two_ops(exact, Activation::swish).backward(cast(dy, DType::float64));
  for (size_t i = 0; i < forward.size(); ++i) {
    CAPTURE(i);
    CHECK(relative_difference(cast(forward[i], DType::float32), exact[i].grad()) < 1e-2);
  }
}

TEST_CASE("the kernel of both gradients on CUDA treats the levels of a pyramid one by one") {
  // Levels that end within a tile, some smaller than one, and eight of them.
  const std::vector<std::vector<int64_t>> pyramids = {{1024, 256, 64, 16, 4},
                                                      {700, 1, 33, 301, 5, 64, 31, 2}};
  for (const auto& segments : pyramids) {
    int64_t pixels = 0;
    for (const int64_t size : segments) pixels += size;
    Random random(5);
    const Tensors numbers = random_inputs({5, pixels, 64}, 64, random);
    const auto run = [&](bool one, bool added) {
      const Tensors in = on_cuda(numbers);
      Random own(6);
      std::vector<BatchNormTensors> norms;
      for (size_t i = 0; i < segments.size(); ++i) {
        const auto parameter = [&] { return randn({64}, own).to(Device::cuda).set_requires_grad(); };
        norms.push_back(
            {parameter(), parameter(), zeros({64}).to(Device::cuda), ones({64}).to(Device::cuda)});
      }
      const BatchNormOptions options = options_with(Activation::swish);
      const Tensor y = one ? conv1x1_batch_norm(in[0], in[1], segments, norms, options)
                           : batch_norm(conv1x1(in[0], in[1]), segments, norms, options);
      CHECK(op_of(y) == (one ? "conv1x1_batch_norm" : "batch_norm_segments"));
      const Tensor dy = cast(randn(y.shape(), own), DType::bfloat16).to(Device::cuda);
      if (added) in[0].backward(dy.shape() == in[0].shape() ? dy : in[0].detach());
      y.backward(dy);
      Tensors gradients{in[0].grad(), in[1].grad()};
      for (const BatchNormTensors& norm : norms) {
        gradients.push_back(norm.weight.grad());
        gradients.push_back(norm.bias.grad());
      }
      return gradients;
    };
    for (const bool added : {false, true}) {
      const Tensors one = run(true, added), two = run(false, added);
      CHECK(relative_difference(one[0], two[0]) < (added ? 3e-3 : 1e-3));
      CHECK(relative_difference(one[1], two[1]) < 1e-5);
      for (size_t i = 2; i < one.size(); ++i) CHECK(relative_difference(one[i], two[i]) < 1e-6);
    }
  }
}

TEST_CASE("the sizes that the kernel of both gradients supports") {
  const auto of = [](int64_t rows, int64_t in, int64_t out) {
    return cuda::Conv1x1GradientTiles::of(BatchNormDims::of_matrix(rows, out), in);
  };
  CHECK(of(1 << 20, 16, 96).blocks <= 3 * 132);
  CHECK(of(1 << 20, 16, 96).tiles == (1 << 20) / 64);
  CHECK(of(63, 16, 96).blocks == 1);
  CHECK(of(0, 16, 96).parts == 0);
  CHECK(of(4096, 12, 96).parts == 0);   // no whole packs
  CHECK(of(4096, 16, 104).parts == 0);  // no whole groups
  CHECK(of(4096, 72, 96).parts == 0);   // too many parts
  CHECK(of(4096, 16, 272).parts == 0);  // too many groups
  CHECK(of((int64_t(1) << 30) + 1, 16, 96).parts == 0);
}

TEST_CASE("a 1x1 convolution with its batch norm takes three launches backward on CUDA") {
  Random random(6);
  const Tensors in = on_cuda(random_inputs({1, 128, 64, 16}, 96, random));
  const Tensor y = one_op(in, Activation::swish), dy = y.detach().clone();
  const int64_t before = cuda::counters().launches;
  y.backward(dy);
  CHECK(cuda::counters().launches == before + 3);
}

TEST_CASE("a 1x1 convolution with its batch norm is two ops where one would not do") {
  struct WholeGraph : TapeObserver {
    bool needs_whole_graph() const override { return true; }
  };
  Random random(7);
  Tensors in = random_inputs({1, 256, 256, 4}, 24, random, DType::float32);
  for (const Tensor& input : in) input.set_requires_grad();
  CHECK(op_of(one_op(in, Activation::swish)) == "conv1x1_batch_norm");
  {
    const WholeGraph observer;
    CHECK(op_of(one_op(in, Activation::swish)) == "batch_norm");
  }
  in[1].set_requires_grad(false);  // a frozen layer
  CHECK(op_of(one_op(in, Activation::swish)) == "batch_norm");
  Tensors few = random_inputs({1, 2, 2, 4}, 24, random, DType::float32);
  for (const Tensor& input : few) input.set_requires_grad();
  CHECK(op_of(one_op(few, Activation::swish)) == "batch_norm");
  const NoGrad evaluation;
  CHECK(op_of(one_op(in, Activation::swish)) == "");
}

TEST_CASE("a 1x1 convolution with its batch norm refuses other shapes") {
  Random random(8);
  const Tensors in = random_inputs({1, 256, 256, 4}, 24, random, DType::float32);
  const auto with = [&](size_t i, const Tensor& other) {
    Tensors changed = in;
    changed[i] = other;
    for (const Tensor& input : changed) input.set_requires_grad();
    return one_op(changed, Activation::swish);
  };
  using Catch::Contains;
  CHECK_NOTHROW(one_op(in, Activation::swish));
  CHECK_THROWS_WITH(with(1, zeros({5, 24})),
                    Contains("[conv1x1] x 1x256x256x4 has 4 channels, w 5x24 takes 5"));
  CHECK_THROWS_WITH(with(2, zeros({23})), Contains("[batch_norm]"));
  CHECK_THROWS_WITH(with(3, zeros({24}, DType::float64)), Contains("[batch_norm] weight, bias"));
}
