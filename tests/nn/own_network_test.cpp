// A network of your own: its parts are named where they are declared, it owns their random numbers, and its
// weights go to a file.
#include <catch2/catch.hpp>
#include <cmath>

#include "nn/io/safetensors.h"
#include "nn/io/weights.h"
#include "nn/layers.h"
#include "nn/sequential.h"
#include "ops/activation.h"
#include "ops/arithmetic.h"
#include "ops/reduction.h"
#include "ops/resample.h"
#include "ops/shape_ops.h"
#include "tests/support/test_data.h"

using namespace fovea;
using Catch::Contains;

namespace {

struct Block : Module {
  Block(Module& parent, const std::string& name, int64_t channels)
      : Module(parent, name), conv{*this, "conv", {.in = channels, .out = channels, .bias = false}} {}
  Conv2d conv;
  BatchNorm norm{*this, "norm", 8, Activation::swish};
  Tensor forward(const Tensor& x) const override { return x + conv_norm(conv, norm, x); }
};

struct Net : Module {
  using Module::Module;
  Conv2d stem{*this, "stem", {.in = 3, .out = 8, .kernel = 3, .stride = 2}};
  Block block{*this, "block", 8};
  Sequential head{*this, "head"};
  Tensor forward(const Tensor& x) const override { return head(mean(mean(block(stem(x)), 1), 1)); }
};

void fill_head(Net& net) {
  net.head.add<Linear>(8, 5);
  net.head.add(relu);
  net.head.add<Dropout>(0.5);
  net.head.add<Linear>(5, 2, LinearOptions{.bias = false});
}

std::vector<std::string> names_of(const Module& module) {
  std::vector<std::string> names;
  for (const NamedTensor& t : state_dict(module)) names.push_back(t.name);
  return names;
}

}  // namespace

TEST_CASE("parts are registered where they are declared") {
  Net net;
  fill_head(net);
  CHECK(names_of(net) == std::vector<std::string>{"stem.weight", "stem.bias", "block.conv.weight",
                                                  "block.norm.weight", "block.norm.bias", "head.0.weight",
                                                  "head.0.bias", "head.3.weight", "block.norm.running_mean",
                                                  "block.norm.running_var"});
  CHECK(net.block.conv.path() == "block.conv");
  CHECK(&net.block.conv.rng() == &net.rng());
  struct Twice : Module {
    Linear a{*this, "same", 2, 2}, b{*this, "same", 2, 2};
  };
  CHECK_THROWS_WITH(Twice(), Contains("two children of the network are named same"));
  CHECK_THROWS_WITH(Module()(zeros({1})),
                    Contains("the network has no forward(x) that takes and returns one tensor"));
}

TEST_CASE("the seed of a network determines its weights") {
  Net a(7), b(7), c(8);
  CHECK(a.stem.parameters()[0].tensor.values() == b.stem.parameters()[0].tensor.values());
  CHECK(a.stem.parameters()[0].tensor.values() != c.stem.parameters()[0].tensor.values());
  // U(-1/sqrt(fan_in), 1/sqrt(fan_in)), weight and bias, as PyTorch's Conv2d: fan_in = 3 * 3 * 3.
  double largest = 0, squares = 0;
  const auto weights = a.block.conv.parameters()[0].tensor.values();  // fan_in 72
  for (const double w : weights) largest = std::max(largest, std::abs(w)), squares += w * w;
  CHECK(largest <= 1 / std::sqrt(72.0));
  CHECK(squares / double(weights.size()) == Approx(1.0 / 72 / 3).epsilon(0.15));
  for (const double bias : a.stem.parameters()[1].tensor.values()) {
    CHECK(std::abs(bias) <= 1 / std::sqrt(27.0));
    CHECK(bias != 0);
  }
}

TEST_CASE("a network computes what its parts do, and dropout only acts in training") {
  Net net(3);
  fill_head(net);
  Random random(5);
  const Tensor x = randn({2, 9, 9, 3}, random);
  net.set_training(false);
  const Tensor y = net(x);
  const Tensor pooled = mean(mean(net.block.forward(net.stem.forward(x)), 1), 1);
  CHECK(pooled.shape() == Shape{2, 8});
  CHECK(y.shape() == Shape{2, 2});
  CHECK(net(x).values() == y.values());
  CHECK(net.rng().position() == net.rng().position());

  struct OneDropout : Module {
    using Module::Module;
    Dropout drop{*this, "drop", 0.25};
    Tensor forward(const Tensor& in) const override { return drop(in); }
  };
  OneDropout one(1), other(1);
  const Tensor input = ones({1000});
  const auto first = one(input).values(), second = one(input).values();
  CHECK(first != second);  // new random numbers each time
  CHECK(other(input).values() == first);
  const auto zeros_in = std::count(first.begin(), first.end(), 0.0);
  CHECK(std::abs(zeros_in - 250) < 60);
  CHECK(std::count(first.begin(), first.end(), double(float(1 / 0.75f))) == 1000 - zeros_in);
  one.set_training(false);
  CHECK(one(input).values() == input.values());
  CHECK_THROWS_WITH((Dropout(one, "bad", 1)), Contains("[Dropout] the probability is 1"));
}

TEST_CASE("a convolution with a bias adds it to each channel") {
  struct One : Module {
    Conv2d conv{*this, "conv", {.in = 1, .out = 2, .kernel = 1}};
  } net;
  net.conv.parameters()[0].tensor.copy_from(from_values({1, 1, 1, 2}, {2, 3}));
  net.conv.parameters()[1].tensor.copy_from(from_values({2}, {10, 20}));
  CHECK(net.conv(from_values({1, 1, 2, 1}, {1, 2})).values() == std::vector<double>{12, 23, 14, 26});
  ChannelStatistics statistics;
  CHECK_THROWS_WITH(net.conv.forward(zeros({1, 1, 2, 1}), &statistics), Contains("without a bias"));
  CHECK_THROWS_WITH(Conv2d(net, "none", {.in = 0, .out = 2}), Contains("[Conv2d] from 0 to 2 channels"));
}

TEST_CASE("layer norm takes the statistics of each position separately") {
  for (const Device device : {Device::cpu, Device::cuda}) {
    struct One : Module {
      LayerNorm norm{*this, "norm", 3, 0.5};
    } net;
    net.norm.parameters()[0].tensor.copy_from(from_values({3}, {1, 2, 3}));
    net.norm.parameters()[1].tensor.copy_from(from_values({3}, {10, 20, 30}));
    net.to(device);
    const std::vector<double> in{1, 2, 6, -4, 0, 1};
    const Tensor x = from_values({2, 1, 3}, in).to(device).clone().set_requires_grad();
    const Tensor y = net.norm(x);
    // Row by row: dL/dx of L = sum v y, by the formula of 1607.06450's normalisation.
    const double v[3] = {1, -2, 0.5}, weight[3] = {1, 2, 3};
    y.backward(from_values({2, 1, 3}, {1, -2, 0.5, 1, -2, 0.5}).to(device));
    const auto values = y.to(Device::cpu).values(), gradient = x.grad().to(Device::cpu).values();
    for (size_t row = 0; row < 2; ++row) {
      const double* p = in.data() + 3 * row;
      const double m = (p[0] + p[1] + p[2]) / 3;
      double variance = 0, mean_g = 0, mean_gz = 0;
      for (int i = 0; i < 3; ++i) variance += (p[i] - m) * (p[i] - m) / 3;
      const double s = 1 / std::sqrt(variance + 0.5);
      for (int i = 0; i < 3; ++i) {
        mean_g += v[i] * weight[i] / 3;
        mean_gz += v[i] * weight[i] * (p[i] - m) * s / 3;
      }
      for (int i = 0; i < 3; ++i) {
        const double z = (p[i] - m) * s;
        CHECK(values[3 * row + size_t(i)] == Approx(weight[i] * z + 10 * (i + 1)));
        CHECK(gradient[3 * row + size_t(i)] ==
              Approx(s * (v[i] * weight[i] - mean_g - z * mean_gz)).margin(1e-5));
      }
    }
    CHECK_THROWS_WITH(net.norm(zeros({2, 4}).to(device)), Contains("[LayerNorm] x is 2x4"));
  }
}

TEST_CASE("the weights of any network are saved and loaded") {
  const TemporaryFolder folder;
  Net first(1), second(2);
  fill_head(first);
  fill_head(second);
  save_weights(folder / "net.safetensors", first, {{"made", "by a test"}});
  const SafetensorsFile file(folder / "net.safetensors");
  CHECK(file.metadata().at("made") == "by a test");
  CHECK(file.find("stem.weight")->shape == Shape{8, 3, 3, 3});  // PyTorch's layout
  const LoadedWeights loaded = load_weights(folder / "net.safetensors", second);
  CHECK(loaded.tensors == 10);
  CHECK(loaded.metadata.at("made") == "by a test");
  const auto a = state_dict(first), b = state_dict(second);
  for (size_t i = 0; i < a.size(); ++i) {
    CAPTURE(a[i].name);
    CHECK(a[i].tensor.values() == b[i].tensor.values());
  }
  // For another network, loading changes nothing.
  Net other(3);
  const auto before = other.stem.parameters()[0].tensor.values();
  CHECK_THROWS_WITH(load_weights(folder / "net.safetensors", other), Contains("have no place in the model"));
  CHECK(other.stem.parameters()[0].tensor.values() == before);
  // It loads what fits if the rest is optional.
  const LoadedWeights some =
      load_weights(folder / "net.safetensors", other,
                   {.optional = [](const std::string& name) { return name.starts_with("head."); }});
  CHECK(some.unused.size() == 3);
  CHECK(other.stem.parameters()[0].tensor.values() == first.stem.parameters()[0].tensor.values());
}
