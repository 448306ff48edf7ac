#include "nn/layers.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <tuple>

#include "core/tape_observer.h"
#include "cuda/runtime/counters.h"
#include "cuda/runtime/graph.h"
#include "nn/trace.h"
#include "ops/shape_ops.h"
#include "ops/support/check_op.h"

using namespace fovea;

namespace {

std::vector<std::pair<std::string, Shape>> inventory(const std::vector<NamedTensor>& tensors) {
  std::vector<std::pair<std::string, Shape>> result;
  for (const NamedTensor& t : tensors) result.emplace_back(t.name, t.tensor.shape());
  return result;
}
using Inventory = std::vector<std::pair<std::string, Shape>>;

// Depthwise and pointwise convolution, norm and linear layer: one of each kind except the dense convolution.
struct SmallNetwork : Module {
  explicit SmallNetwork(Random& random)
      : stem(3, 4, {3, 2}, random),
        stem_norm(4, Activation::swish),
        depthwise(4, {3, 1}, random),
        depthwise_norm(4, Activation::relu),
        pointwise(4, 6, true, random),
        classifier(6, 2, random) {
    add_child("stem", stem);
    add_child("stem_norm", stem_norm);
    add_child("depthwise", depthwise);
    add_child("depthwise_norm", depthwise_norm);
    add_child("pointwise", pointwise);
    add_child("classifier", classifier);
  }
  Tensor forward(const Tensor& images) const override {
    const Tensor x = conv_norm(stem, stem_norm, images);
    return classifier.forward(pointwise.forward(conv_norm(depthwise, depthwise_norm, x)));
  }
  Conv2d stem;
  BatchNorm stem_norm;
  DepthwiseConv2d depthwise;
  BatchNorm depthwise_norm;
  PointwiseConv pointwise;
  Linear classifier;
};

}  // namespace

TEST_CASE("layers have the parameters and shapes that they state") {
  Random random(1);
  CHECK(inventory(Linear(5, 3, random).parameters()) == Inventory{{"weight", {5, 3}}, {"bias", {3}}});
  CHECK(inventory(PointwiseConv(5, 3, true, random).parameters()) ==
        Inventory{{"weight", {5, 3}}, {"bias", {3}}});
  CHECK(inventory(PointwiseConv(5, 3, false, random).parameters()) == Inventory{{"weight", {5, 3}}});
  CHECK(inventory(DepthwiseConv2d(7, {5, 2}, random).parameters()) == Inventory{{"weight", {5, 5, 7}}});
  CHECK(inventory(Conv2d(3, 8, {3, 2}, random).parameters()) == Inventory{{"weight", {3, 3, 3, 8}}});
  const BatchNorm norm(4, Activation::swish);
  CHECK(inventory(norm.parameters()) == Inventory{{"weight", {4}}, {"bias", {4}}});
  CHECK(inventory(norm.buffers()) == Inventory{{"running_mean", {4}}, {"running_var", {4}}});
}

TEST_CASE("a linear layer starts as PyTorch's does, weight and bias uniform within 1 / sqrt(in)") {
  Random random(1);
  const Linear layer(100, 4000, random);
  for (const NamedTensor& parameter : layer.parameters()) {
    double sum = 0, squares = 0, largest = 0;
    for (const double value : parameter.tensor.values()) {
      sum += value;
      squares += value * value;
      largest = std::max(largest, std::abs(value));
    }
    const double n = double(parameter.tensor.numel());
    CAPTURE(parameter.name);
    CHECK(largest <= 0.1 * (1 + 1e-6));
    CHECK(largest > 0.0999);
    CHECK(sum / n == Approx(0).margin(0.003));  // three standard errors of the bias
    CHECK(squares / n == Approx(0.01 / 3).epsilon(0.05));
  }
}

TEST_CASE("a linear layer is x w + bias, its bias 0 at first with any other initialiser") {
  Random random(1);
  const Linear layer(2, 2, random, LinearOptions{.init = Init::fan_out_uniform});
  layer.parameters()[0].tensor.copy_from(from_values({2, 2}, {1, 2, 3, 4}));
  CHECK(layer.forward(from_values({1, 2}, {1, 10})).values() == std::vector<double>{31, 42});
  layer.parameters()[1].tensor.copy_from(from_values({2}, {100, 200}));
  CHECK(layer.forward(from_values({1, 2}, {1, 10})).values() == std::vector<double>{131, 242});
}

TEST_CASE("a pointwise convolution's bias can be filled") {
  Random random(1);
  const PointwiseConv layer(2, 3, true, random);
  layer.fill_bias(-4.5);
  CHECK(layer.forward(zeros({1, 1, 1, 2})).values() == std::vector<double>(3, -4.5));
}

TEST_CASE("batch norm's running averages move towards the batch in training, and stay in evaluation") {
  BatchNorm norm(1, Activation::identity, {.epsilon = 1e-3, .momentum = 0.1});
  const Tensor x = from_values({4, 1}, {1, 2, 3, 6});  // mean 3, variance 3.5 biased, 14 / 3 unbiased
  const Tensor mean = norm.buffers()[0].tensor, variance = norm.buffers()[1].tensor;

  const auto y = norm.forward(x).values();
  CHECK(y[3] == Approx(3 / std::sqrt(3.5 + 1e-3)).epsilon(1e-5));
  CHECK(mean.item() == Approx(0.1 * 3).epsilon(1e-5));
  CHECK(variance.item() == Approx(0.9 + 0.1 * 14 / 3).epsilon(1e-5));

  norm.forward(x);
  CHECK(mean.item() == Approx(0.9 * 0.3 + 0.1 * 3).epsilon(1e-5));

  norm.set_training(false);
  const double frozen_mean = mean.item(), frozen_variance = variance.item();
  const auto evaluated = norm.forward(x).values();
  CHECK(mean.item() == frozen_mean);
  CHECK(variance.item() == frozen_variance);
  CHECK(evaluated[3] == Approx((6 - frozen_mean) / std::sqrt(frozen_variance + 1e-3)).epsilon(1e-5));
}

TEST_CASE("the default batch norm is EfficientNet's: epsilon 1e-3, momentum 0.01") {
  const BatchNorm norm(1, Activation::identity);
  const auto y = norm.forward(from_values({2, 1}, {0, 2})).values();
  CHECK(y[1] == Approx(1 / std::sqrt(1 + 1e-3)).epsilon(1e-6));
  CHECK(norm.buffers()[0].tensor.item() == Approx(0.01).epsilon(1e-6));
}

TEST_CASE("norm after convolution is the same with statistics gathered by the convolution and without") {
  Random random(1);
  const PointwiseConv conv(5, 7, false, random);
  const BatchNorm together(7, Activation::swish), apart(7, Activation::swish);
  const Tensor x = randn({2, 9, 11, 5}, random);
  const auto a = conv_norm(conv, together, x).values(), b = apart.forward(conv.forward(x)).values();
  for (size_t i = 0; i < a.size(); ++i) REQUIRE(a[i] == Approx(b[i]).margin(1e-5));
  const auto mean_a = together.buffers()[0].tensor.values(), mean_b = apart.buffers()[0].tensor.values();
  for (size_t i = 0; i < mean_a.size(); ++i) CHECK(mean_a[i] == Approx(mean_b[i]).margin(1e-7));
}

namespace {

struct CountOps : TapeObserver {
  std::vector<std::string> names;
  void on_op(const Op& op, const Tensors&, const Tensor&) override { names.emplace_back(op.name); }
};

// Gives a batch norm running averages and weights that all differ from their initial values.
void wear_in(const BatchNorm& norm, Random& random) {
  for (const auto& tensors : {norm.parameters(), norm.buffers()})
    for (const NamedTensor& t : tensors) t.tensor.copy_from(rand(t.tensor.shape(), random, 0.5, 2));
}

// In evaluation the convolution applies the norm to its blocks: this gives the same bits as one after the
// other, which is what happens where a gradient is recorded or an observer lives.
template <class Convolution>
void check_evaluation(const Convolution& conv, int64_t channels, const Tensor& x, Random& random) {
  for (const Activation activation : {Activation::identity, Activation::swish, Activation::relu}) {
    BatchNorm norm(channels, activation);
    wear_in(norm, random);
    norm.set_training(false);
    const auto apart = conv_norm(conv, norm, x).values();
    const NoGrad no_grad;
    CHECK(conv_norm(conv, norm, x).values() == apart);
    CountOps ops;
    CHECK(conv_norm(conv, norm, x).values() == apart);
    CHECK(ops.names.size() == 2);
    CHECK(ops.names.back() == "batch_norm");
  }
}

}  // namespace

TEST_CASE("norm after convolution has the same bits in evaluation, with and without gradients") {
  Random random(1);
  const Tensor x = randn({2, 37, 41, 6}, random);
  check_evaluation(PointwiseConv(6, 7, false, random), 7, x, random);
  PointwiseConv with_bias(6, 131, true, random);
  with_bias.fill_bias(0.5);
  check_evaluation(with_bias, 131, x, random);
  check_evaluation(DepthwiseConv2d(6, {5, 2}, random), 6, x, random);
  check_evaluation(Conv2d(6, 10, {3, 1}, random), 10, x, random);
  check_evaluation(Conv2d(3, 8, {3, 2}, random), 8, randn({1, 33, 31, 3}, random), random);

  const PyramidShape one{{{5, 4}}};
  const Tensor pixels = randn({2, 20, 6}, random);
  CHECK_NOTHROW(DepthwiseConv2d(6, {3, 1, Padding::pixels(1)}, random).forward(pixels, one));
  CHECK_THROWS_WITH(DepthwiseConv2d(6, {3, 1, Padding::valid}, random).forward(pixels, one),
                    Catch::Contains("0 zeros at the edge"));

  BatchNorm norm(8, Activation::swish);
  norm.set_training(false);
  const NoGrad no_grad;
  CHECK_THROWS_WITH(conv_norm(PointwiseConv(6, 7, false, random), norm, x),
                    Catch::Contains("8 channels") && Catch::Contains("before it 7"));
}

TEST_CASE("on CUDA a 1x1 convolution applies the norm after it in evaluation") {
  Random random(2);
  const PointwiseConv conv(24, 40, true, random);
  BatchNorm norm(40, Activation::swish);
  wear_in(norm, random);
  norm.set_training(false);
  for (const Module* module : {static_cast<const Module*>(&conv), static_cast<const Module*>(&norm)})
    for (const auto& tensors : {module->parameters(), module->buffers()})
      for (const NamedTensor& t : tensors) t.tensor.move_to(Device::cuda);
  const NoGrad no_grad;
  const Tensor x = cast(randn({1, 67, 70, 24}, random), DType::bfloat16).to(Device::cuda);
  const Tensor apart = norm.forward(conv.forward(x));
  const int64_t before = cuda::counters().launches;
  CHECK(relative_difference(conv_norm(conv, norm, x), apart) < 1e-2);
  CHECK(cuda::counters().launches - before == 3);  // the product, and the casts of weight and bias
}

TEST_CASE("on CUDA a depthwise convolution applies the next norm in evaluation with its current parameters") {
  Random random(1);
  const auto to_cuda = [](const Module& module) {
    for (const auto& tensors : {module.parameters(), module.buffers()})
      for (const NamedTensor& t : tensors) t.tensor.move_to(Device::cuda);
  };
  // If channels are not whole packs, the norm runs separately.
  for (const auto& [dtype, channels, together] :
       {std::tuple{DType::bfloat16, 40, true}, {DType::float32, 40, true}, {DType::float32, 7, false}})
    for (const Activation activation : all_activations)
      for (const Window window : {Window{3, 1}, Window{5, 2}}) {
        CAPTURE(name(dtype), channels, name(activation), window.kernel);
        const DepthwiseConv2d conv(channels, window, random);
        BatchNorm norm(channels, activation);
        norm.set_training(false);
        to_cuda(conv), to_cuda(norm);
        const Tensor x = cast(randn({2, 67, 39, channels}, random), dtype).to(Device::cuda);
        const NoGrad no_grad;
        Tensor y;
        cuda::Graph graph;
        graph.warm_up([&] { y = conv_norm(conv, norm, x); });
        graph.capture([&] { y = conv_norm(conv, norm, x); });
        const int64_t before = cuda::counters().launches;
        conv_norm(conv, norm, x);
        CHECK((cuda::counters().launches - before == 1) == together);
        wear_in(norm, random);  // like an average of the weights that is swapped in
        graph.replay();
        CHECK(relative_difference(y, norm.forward(conv.forward(x))) <
              (dtype == DType::float32 ? 1e-5 : 1e-2));
      }
}

TEST_CASE("a gradient that is not zero reaches every parameter") {
  Random random(1);
  const SmallNetwork network(random);
  const Tensor y = network.forward(randn({2, 9, 7, 3}, random));
  CHECK(y.shape() == Shape{2, 5, 4, 2});
  y.backward(randn(y.shape(), random));
  CHECK(network.parameters().size() == 10);
  for (const NamedTensor& p : network.parameters()) {
    CAPTURE(p.name);
    REQUIRE(p.tensor.grad().defined());
    double largest = 0;
    for (double g : p.tensor.grad().values()) largest = std::max(largest, std::abs(g));
    CHECK(largest > 1e-3);
  }
}

TEST_CASE("a trace lists the layers with what they cost, while it lives") {
  Random random(1);
  SmallNetwork network(random);
  {
    const Trace trace;
    network.forward(zeros({2, 8, 8, 3}));
    REQUIRE(trace.layers.size() == 6);
    CHECK(trace.layers[0].path == "stem");
    CHECK(trace.layers[0].kind == "conv 3x3 /2");
    CHECK(trace.layers[0].output == Shape{2, 4, 4, 4});
    CHECK(trace.layers[0].parameters == 3 * 3 * 3 * 4);
    CHECK(trace.layers[0].multiply_adds == 2 * 4 * 4 * 4 * 27);
    CHECK(trace.layers[1].kind == "batch norm + swish");
    CHECK(trace.layers[2].multiply_adds == 2 * 4 * 4 * 4 * 9);
    CHECK(trace.layers[4].multiply_adds == 2 * 4 * 4 * 6 * 4);
    CHECK(trace.layers[5].path == "classifier");
    CHECK(trace.layers[5].parameters == 6 * 2 + 2);
    const Trace inner;
    network.forward(zeros({1, 8, 8, 3}));
    CHECK(inner.layers.size() == 6);
    CHECK(trace.layers.size() == 6);
  }
  CHECK_NOTHROW(network.forward(zeros({1, 8, 8, 3})));
}

TEST_CASE("a batch norm whose statistics are frozen trains on its running averages and leaves them") {
  Random random(4);
  BatchNorm norm(3, Activation::identity);
  const Tensor x = randn({40, 3}, random);
  const Tensor mean = norm.buffers()[0].tensor, variance = norm.buffers()[1].tensor;
  mean.fill(0.5);
  variance.fill(4);
  norm.freeze_statistics(true);
  CHECK_FALSE(norm.uses_batch_statistics());
  const Tensor y = norm.forward(x);
  CHECK(y.values()[0] == Approx((x.values()[0] - 0.5) / std::sqrt(4 + 1e-3)));
  CHECK(mean.values() == std::vector<double>(3, 0.5));
  CHECK(variance.values() == std::vector<double>(3, 4));
  CHECK(y.requires_grad());
  norm.freeze_statistics(false);
  norm.forward(x);
  CHECK(mean.values() != std::vector<double>(3, 0.5));
}
