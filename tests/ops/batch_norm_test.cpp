#include "ops/batch_norm.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <functional>
#include <numeric>

#include "cuda/runtime/graph.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/process_group.h"
#include "ops/arithmetic.h"
#include "ops/matmul.h"
#include "ops/shape_ops.h"
#include "ops/support/check_op.h"

using namespace fovea;

namespace {
OpFunction norm(BatchNormOptions options) {
  return [options](const Tensors& in) {
    const Tensor mean = full(in[1].shape(), 0.3, in[1].dtype(), in[1].device()),
                 variance = full(in[1].shape(), 1.7, in[1].dtype(), in[1].device());
    return batch_norm(in[0], in[1], in[2], mean, variance, options);
  };
}

void check_norm(const Shape& shape, const BatchNormOptions& options) {
  Random random(3);
  const Tensor x = randn(shape, random, DType::float64);
  const Tensor weight = rand({shape[-1]}, random, 0.5, 2, DType::float64);
  const Tensor bias = randn({shape[-1]}, random, DType::float64);
  CheckOptions check{.step = 1e-6, .gradient_tolerance = 1e-5, .float32_tolerance = 1e-4, .max_probes = 25};
  check.parameters = {1, 2};
  if (shape.numel() <= 5) check.bfloat16_tolerance = 0.1;  // a sum of few rounded terms of both signs
  INFO(shape.to_string() << " training " << options.training << " activation " << int(options.activation));
  CHECK_NOTHROW(check_op(norm(options), {x, weight, bias}, check));
}

// One batch norm per segment of x (N, P, C), side by side, from inputs x, weight, bias, weight, bias, ...
OpFunction norms_of(std::vector<int64_t> segments, BatchNormOptions options) {
  return [=](const Tensors& in) {
    std::vector<BatchNormTensors> norms;
    for (size_t i = 1; i < in.size(); i += 2)
      norms.push_back({in[i], in[i + 1], full(in[i].shape(), 0.3, in[i].dtype(), in[i].device()),
                       full(in[i].shape(), 1.7, in[i].dtype(), in[i].device())});
    return batch_norm(in[0], segments, norms, options);
  };
}

// Two processes, of which the other one has the same numbers.
class Twins : public ProcessGroup {
 public:
  int rank() const override { return 1; }
  int size() const override { return 2; }
  std::vector<double> all_gather(std::span<const double> values) override {
    std::vector<double> both(values.begin(), values.end());
    both.insert(both.end(), values.begin(), values.end());
    return both;
  }
  void all_reduce(std::span<float> values) override {
    for (float& value : values) value *= 2;
  }
  void select_device() override {}
  void all_gather_on_device(void* all, size_t bytes) override {
    cuda::copy_on_device(all, static_cast<std::byte*>(all) + bytes, bytes);
  }
  void all_reduce_on_device(const std::vector<DeviceFloats>&) override {}
  bool can_be_captured() const override { return true; }
};
}  // namespace

TEST_CASE("the statistics are those of all processes of the group, which is not global") {
  Random random(7);
  const Tensor half = randn({37, 24}, random), dy_half = randn({37, 24}, random);
  std::vector<double> twice = half.values(), dy_twice = dy_half.values();
  twice.insert(twice.end(), twice.begin(), twice.begin() + half.numel());
  dy_twice.insert(dy_twice.end(), dy_twice.begin(), dy_twice.begin() + half.numel());
  struct Result {
    std::vector<double> y, dx, mean, variance;
  };
  const auto run = [](const Tensor& values, const Tensor& dy, Device device, ProcessGroup* group) {
    Tensor x = values.to(device).clone();
    x.set_requires_grad();
    const Tensor weight = full({24}, 1.5).to(device), bias = full({24}, 0.5).to(device),
                 mean = zeros({24}).to(device), variance = ones({24}).to(device);
    const Tensor y = batch_norm(x, weight, bias, mean, variance, {.process_group = group});
    y.backward(dy.to(device));
    return Result{y.to(Device::cpu).values(), x.grad().to(Device::cpu).values(),
                  mean.to(Device::cpu).values(), variance.to(Device::cpu).values()};
  };
  const auto close = [](const std::vector<double>& part, const std::vector<double>& whole) {
    double worst = 0;
    for (size_t i = 0; i < part.size(); ++i) worst = std::max(worst, std::abs(part[i] - whole[i]));
    return worst < 2e-6;
  };
  for (const Device device : {Device::cpu, Device::cuda}) {
    Twins group;
    const Result whole = run(from_values({74, 24}, twice), from_values({74, 24}, dy_twice), device, nullptr);
    const Result shared = run(half, dy_half, device, &group), alone = run(half, dy_half, device, nullptr);
    CHECK(close(shared.y, whole.y));
    CHECK(close(shared.dx, whole.dx));
    CHECK(close(shared.mean, whole.mean));
    CHECK(close(shared.variance, whole.variance));
    CHECK_FALSE(close(alone.variance, whole.variance));  // n / (n - 1) with another n
  }
}

TEST_CASE("batch norm by hand") {
  const Tensor x = from_values({2, 1}, {1, 3}), one = ones({1}), zero = zeros({1});
  const Tensor mean = zeros({1}), variance = ones({1});
  const Tensor y = batch_norm(x, one, zero, mean, variance, {.epsilon = 0});
  CHECK(y.values() == std::vector<double>{-1, 1});
  CHECK(mean.item() == Approx(0.01 * 2));
  CHECK(variance.item() == Approx(0.99 + 0.01 * 2));  // the unbiased variance of {1, 3} is 2
  const Tensor evaluated = batch_norm(x, full({1}, 2), full({1}, 5), full({1}, 1), full({1}, 4),
                                      {.training = false, .epsilon = 0, .activation = Activation::relu});
  CHECK(evaluated.values() == std::vector<double>{5, 7});
}

TEST_CASE("gradients of batch norm with each activation") {
  for (bool training : {true, false})
    for (Activation activation : all_activations)
      for (const Shape& shape : {Shape{5, 1}, Shape{3, 5, 7, 3}, Shape{2, 3, 1, 17}, Shape{37, 131},
                                 Shape{2, 8}, Shape{3, 5, 2, 16}})
        check_norm(shape, {.training = training, .activation = activation});
}

TEST_CASE("gradients of batch norm in several chunks of rows and tiles of channels") {
  for (const Shape& shape :
       {Shape{701, 24}, Shape{2053, 2}, Shape{97, 296}, Shape{1021, 3}, Shape{5003, 16}, Shape{4500, 264}})
    check_norm(shape, {.activation = Activation::swish});
}

TEST_CASE("gradients of batch norms of segments") {
  struct Case {
    std::vector<int64_t> segments;
    int64_t images, channels;
  };
  // Odd channels; one block per segment; many chunks; a segment of one pixel; one segment.
  for (const auto& [segments, images, channels] :
       {Case{{9, 4, 1}, 2, 3}, Case{{16, 4, 1}, 3, 24}, Case{{5000, 1100, 7}, 1, 16}, Case{{37, 1300}, 4, 40},
        Case{{12}, 2, 8}, Case{{1, 2, 3, 4, 5, 6, 7, 8}, 2, 8}})
    for (const bool training : {true, false}) {
      const BatchNormOptions options{.training = training, .activation = Activation::swish};
      Random random(3);
      const int64_t pixels = std::accumulate(segments.begin(), segments.end(), int64_t(0));
      Tensors inputs = {randn({images, pixels, channels}, random, DType::float64)};
      CheckOptions check{
          .step = 1e-6, .gradient_tolerance = 1e-5, .float32_tolerance = 1e-4, .max_probes = 25};
      for (size_t i = 0; i < segments.size(); ++i) {
        for (const size_t next : {inputs.size(), inputs.size() + 1}) check.parameters.push_back(next);
        inputs.push_back(rand({channels}, random, 0.5, 2, DType::float64));
        inputs.push_back(randn({channels}, random, DType::float64));
      }
      INFO(images << " images, " << pixels << " pixels, training " << training);
      CHECK_NOTHROW(check_op(norms_of(segments, options), inputs, check));
    }
}

TEST_CASE("batch norms of segments are those of each segment separately") {
  const std::vector<int64_t> segments = {1600, 25, 1};
  for (const Device device : {Device::cpu, Device::cuda})
    for (const int64_t images : {2, 9}) {
      Random random(5);
      Tensor x = randn({images, 1626, 24}, random).to(device);
      const Tensor dy = randn(x.shape(), random).to(device);
      x.set_requires_grad();
      std::vector<BatchNormTensors> norms, separate;
      for (size_t i = 0; i < segments.size(); ++i) {
        BatchNormTensors norm{rand({24}, random, 0.5, 2).to(device), randn({24}, random).to(device),
                              randn({24}, random).to(device), rand({24}, random, 1, 2).to(device)};
        separate.push_back({norm.weight.clone(), norm.bias.clone(), norm.running_mean.clone(),
                            norm.running_variance.clone()});
        norms.push_back(norm);
        for (const auto* both : {&norms, &separate}) {
          both->back().weight.set_requires_grad();
          both->back().bias.set_requires_grad();
        }
      }
      const BatchNormOptions options{.momentum = 0.25, .activation = Activation::swish};
      const Tensor y = batch_norm(x, segments, norms, options);
      y.backward(dy);
      // On CUDA the rows are cut elsewhere, so sums differ in their last digits.
      const auto same = [&](const Tensor& a, const Tensor& b) {
        return device == Device::cpu ? a.values() == b.values() : relative_difference(a, b) < 1e-5;
      };
      int64_t begin = 0;
      for (size_t i = 0; i < segments.size(); ++i) {
        CAPTURE(int(device), images, i);
        const auto part = [&](const Tensor& t) { return slice(t, 1, begin, begin + segments[i]).detach(); };
        Tensor of_segment = part(x).clone();
        of_segment.set_requires_grad();
        const BatchNormTensors &norm = norms[i], &alone = separate[i];
        const Tensor expected = batch_norm(of_segment, alone.weight, alone.bias, alone.running_mean,
                                           alone.running_variance, options);
        expected.backward(part(dy));
        CHECK(same(part(y), expected));
        CHECK(same(part(x.grad()), of_segment.grad()));
        CHECK(same(norm.weight.grad(), alone.weight.grad()));
        CHECK(same(norm.bias.grad(), alone.bias.grad()));
        CHECK(same(norm.running_mean, alone.running_mean));
        CHECK(same(norm.running_variance, alone.running_variance));
        begin += segments[i];
      }
    }
}

// On the CPU, the gradient of x overwrites that of y unless another tensor shares it.
TEST_CASE("the backward pass of batch norm never overwrites a shared gradient") {
  Random random(9);
  const Activation activation = GENERATE(Activation::identity, Activation::swish);
  const Tensor gradient = randn({70, 24}, random), start = randn({70, 24}, random);
  const auto normalized = [&](const Tensor& x) {
    return batch_norm(x, ones({24}), zeros({24}), zeros({24}), ones({24}), {.activation = activation});
  };
  const auto gradient_of = [&](const std::function<Tensor(const Tensor&)>& f) {
    const Tensor x = start.clone().set_requires_grad();
    f(x).backward(gradient);
    return x.grad().values();
  };
  const std::vector<double> before = gradient.values(), expected = gradient_of(normalized);
  CHECK(gradient.values() == before);  // it is still the caller's
  // the sum passes one gradient to both norms; scaling by 1 makes one that only the norm has
  std::vector<double> twice = gradient_of([&](const Tensor& x) { return normalized(x) + normalized(x); });
  for (double& number : twice) number /= 2;
  CHECK(twice == expected);
  CHECK(gradient_of([&](const Tensor& x) { return normalized(x) * 1.0; }) == expected);
  CHECK(gradient.values() == before);
}

TEST_CASE("statistics survive a mean far from zero") {
  Random random(7);
  const Tensor x = rand({5000, 3}, random, 999.5, 1000.5);
  ChannelStatistics statistics;
  gather(statistics, x.data<float>(), 5000, 3);
  for (size_t c = 0; c < 3; ++c) {
    CHECK(statistics.mean()[c] == Approx(1000).epsilon(1e-4));
    CHECK(statistics.variance()[c] == Approx(1.0 / 12).epsilon(0.03));
  }
}

TEST_CASE("on CUDA statistics survive a mean far from zero, and move the running averages as on the CPU") {
  for (const Shape& shape : {Shape{5000, 3}, Shape{1000, 8}, Shape{1, 5}, Shape{13, 16}}) {
    Random random(7);
    const Shape channels{shape[1]};
    const Tensor x = rand(shape, random, 999.5, 1000.5), weight = ones(channels), bias = zeros(channels);
    const Tensor mean = randn(channels, random), variance = rand(channels, random, 1, 2);
    const Tensor mean_cuda = mean.to(Device::cuda), variance_cuda = variance.to(Device::cuda);
    const BatchNormOptions options{.momentum = 0.75};
    const Tensor y = batch_norm(x, weight, bias, mean, variance, options);
    const Tensor y_cuda = batch_norm(x.to(Device::cuda), weight.to(Device::cuda), bias.to(Device::cuda),
                                     mean_cuda, variance_cuda, options);
    CHECK(relative_difference(mean_cuda, mean) < 1e-6);
    CHECK(relative_difference(variance_cuda, variance) < 1e-5);
    if (shape[0] > 1) CHECK(relative_difference(y_cuda, y) < 1e-3);  // x itself has 4 decimals
  }
}

TEST_CASE("batch norm and its gradient can be captured in a graph") {
  Random random(9);
  const int64_t rows = GENERATE(300, 5000);  // all in one launch; by tickets
  const Tensor x = randn({rows, 8}, random).to(Device::cuda), weight = ones({8}).to(Device::cuda);
  const Tensor mean = zeros({8}).to(Device::cuda), variance = ones({8}).to(Device::cuda);
  const Tensor bias = zeros({8}).to(Device::cuda), dy = ones({rows, 8}).to(Device::cuda);
  const Tensor leaf = x.detach().set_requires_grad();
  Tensor y, dx;
  const auto step = [&] {
    leaf.clear_grad();
    y = batch_norm(leaf, weight, bias, mean, variance, {.activation = Activation::swish});
    y.backward(dy);
    dx = leaf.grad();
  };
  cuda::Graph graph;
  graph.warm_up(step);
  const std::vector<double> expected_y = y.values(), expected_dx = dx.values(), first = mean.values();
  graph.capture(step);
  graph.replay();
  graph.replay();
  CHECK(y.values() == expected_y);
  CHECK(dx.values() == expected_dx);
  CHECK(mean.values()[0] == Approx(first[0] * (1 + 0.99 + 0.99 * 0.99)));
}

TEST_CASE("statistics given by the producer change nothing but the time") {
  Random random(8);
  const Tensor x = randn({2, 9, 9, 5}, random), w = randn({5, 4}, random), weight = ones({4}),
               bias = zeros({4});
  ChannelStatistics statistics;
  const Tensor y = conv1x1(x, w, {}, &statistics);
  const Tensor a = batch_norm(y, weight, bias, zeros({4}), ones({4}), {}, &statistics);
  const Tensor b = batch_norm(y, weight, bias, zeros({4}), ones({4}), {});
  CHECK(relative_difference(a, b) < 1e-6);
  CHECK_THROWS_WITH(batch_norm(zeros({3, 4}), weight, bias, zeros({4}), ones({4}), {}, &statistics),
                    Catch::Contains("given statistics are of 162x4"));
}

TEST_CASE("batch norms of segments that do not make up the image are refused") {
  const BatchNormTensors norm{ones({4}), zeros({4}), zeros({4}), ones({4})};
  const Tensor x = zeros({2, 5, 4});
  CHECK_THROWS_WITH(batch_norm(x, {2, 2}, {norm, norm}, {}),
                    Catch::Contains("[batch_norm] the segments are of 2, 2 pixels, x is 2x5x4"));
  CHECK_THROWS_WITH(batch_norm(x, {5, 0}, {norm, norm}, {}), Catch::Contains("none be empty"));
  CHECK_THROWS_WITH(batch_norm(x, {2, 3}, {norm}, {}), Catch::Contains("with 2 segments and 1 norms"));
  CHECK_THROWS_WITH(batch_norm(zeros({5, 4}), {5}, {norm}, {}), Catch::Contains("give x as (N, P, C)"));
  CHECK_THROWS_WITH(batch_norm(x, std::vector<int64_t>(9, 1), std::vector<BatchNormTensors>(9, norm), {}),
                    Catch::Contains("1 to 8 segments"));
  CHECK_THROWS_WITH(batch_norm(x, {2, 3}, {norm, {ones({3}), zeros({4}), zeros({4}), ones({4})}}, {}),
                    Catch::Contains("[batch_norm] x 2x5x4") && Catch::Contains("weight 3 takes 3"));
}

TEST_CASE("batch norm of the wrong sizes or of nothing is refused") {
  CHECK_THROWS_WITH(batch_norm(zeros({3, 4}), ones({3}), zeros({4}), zeros({4}), ones({4}), {}),
                    Catch::Contains("[batch_norm] x 3x4 has 4 columns, weight 3 takes 3"));
  CHECK_THROWS_WITH(batch_norm(zeros({2, 4, 8, 8}), ones({4}), zeros({4}), zeros({4}), ones({4}), {}),
                    Catch::Contains("has 8 channels, weight 4 takes 4: images are (N, H, W, C)"));
  CHECK_THROWS_WITH(batch_norm(zeros({0, 4}), ones({4}), zeros({4}), zeros({4}), ones({4}), {}),
                    Catch::Contains("no rows to take statistics of"));
  CHECK_THROWS_WITH(
      batch_norm(zeros({3, 4}), ones({4}).to(Device::cuda), zeros({4}), zeros({4}), ones({4}), {}),
      Catch::Contains("[batch_norm] a tensor of") && Catch::Contains("to one device"));
}
