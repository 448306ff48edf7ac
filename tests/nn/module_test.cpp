#include "nn/module.h"

#include <catch2/catch.hpp>

using namespace fovea;
using Catch::Contains;

namespace {

struct Leaf : Module {
  Leaf() : weight(add_parameter("weight", ones({2, 3}))), mean(add_buffer("mean", zeros({3}))) {}
  Tensor weight, mean;
};

struct Pair : Module {
  Pair() : scale(add_parameter("scale", ones({1}))) {
    add_child("first", first);
    add_child("second.deep", second);  // a name may hold dots, as in "blocks.0.1"
  }
  Tensor scale;
  Leaf first, second;
};

struct Network : Module {
  Network() { add_child("pair", pair); }
  Pair pair;
};

std::vector<std::string> names(const std::vector<NamedTensor>& tensors) {
  std::vector<std::string> result;
  for (const NamedTensor& t : tensors) result.push_back(t.name);
  return result;
}

}  // namespace

TEST_CASE(
    "parameters and buffers are named by their path from the module called, in the order of registration") {
  const Network network;
  CHECK(names(network.parameters()) ==
        std::vector<std::string>{"pair.scale", "pair.first.weight", "pair.second.deep.weight"});
  CHECK(names(network.buffers()) == std::vector<std::string>{"pair.first.mean", "pair.second.deep.mean"});
  CHECK(names(network.pair.first.parameters()) == std::vector<std::string>{"weight"});
  CHECK(network.parameter_count() == 1 + 6 + 6);
}

TEST_CASE("a module's path is the one from the topmost module, even if its children were made before it") {
  const Network network;
  CHECK(network.path().empty());
  CHECK(network.pair.path() == "pair");
  CHECK(network.pair.second.path() == "pair.second.deep");
}

TEST_CASE("parameters() returns the module's own tensors, not copies") {
  const Network network;
  network.parameters()[1].tensor.fill(7);
  network.buffers()[0].tensor.fill(5);
  CHECK(network.pair.first.weight.values() == std::vector<double>(6, 7));
  CHECK(network.pair.first.mean.values() == std::vector<double>(3, 5));
}

TEST_CASE("training and evaluation reach all modules below, and only those") {
  Network network;
  CHECK(network.pair.first.training());
  network.set_training(false);
  CHECK_FALSE(network.training());
  CHECK_FALSE(network.pair.second.training());
  network.pair.first.set_training(true);
  CHECK(network.pair.first.training());
  CHECK_FALSE(network.pair.training());
  CHECK_FALSE(network.pair.second.training());
}

TEST_CASE("parameters require a gradient until frozen, buffers never") {
  Network network;
  for (const NamedTensor& p : network.parameters()) CHECK(p.tensor.requires_grad());
  for (const NamedTensor& b : network.buffers()) CHECK_FALSE(b.tensor.requires_grad());
  network.pair.first.set_requires_grad(false);
  CHECK_FALSE(network.pair.first.weight.requires_grad());
  CHECK(network.pair.second.weight.requires_grad());
  network.set_requires_grad(true);
  CHECK(network.pair.first.weight.requires_grad());
}

TEST_CASE("gradients are cleared for all modules below") {
  const Network network;
  for (const NamedTensor& p : network.parameters()) p.tensor.backward(ones(p.tensor.shape()));
  CHECK(network.pair.second.weight.grad().values() == std::vector<double>(6, 1));
  network.clear_gradients();
  for (const NamedTensor& p : network.parameters()) CHECK_FALSE(p.tensor.grad().defined());
}

TEST_CASE("two children of one name are refused") {
  struct Twins : Module {
    Twins() {
      add_child("same", first);
      add_child("same", second);
    }
    Leaf first, second;
  };
  CHECK_THROWS_WITH(Twins(), Contains("[Module] two children of the network are named same"));
}
