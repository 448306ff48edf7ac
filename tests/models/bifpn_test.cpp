#include "models/bifpn.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <set>

#include "models/efficientdet.h"
#include "ops/arithmetic.h"
#include "ops/reduction.h"

using namespace fovea;

namespace {

using Plan = std::vector<std::pair<int, std::vector<int>>>;

Plan plan_of(Connections connections, int min_level = 3, int max_level = 7) {
  Plan plan;
  for (const BiFpnNodePlan& node : bifpn_plan(min_level, max_level, connections))
    plan.emplace_back(node.level, node.inputs);
  return plan;
}

constexpr Connections every[] = {Connections::bifpn, Connections::top_down, Connections::top_down_bottom_up,
                                 Connections::fully_connected};

}  // namespace

TEST_CASE("the nodes of each kind of connections") {
  // effdet's bifpn_config and panfpn_config for levels 3 to 7
  CHECK(plan_of(Connections::bifpn) == Plan{{6, {3, 4}},
                                            {5, {2, 5}},
                                            {4, {1, 6}},
                                            {3, {0, 7}},
                                            {4, {1, 7, 8}},
                                            {5, {2, 6, 9}},
                                            {6, {3, 5, 10}},
                                            {7, {4, 11}}});
  const Plan top_down{{7, {4}}, {6, {3, 5}}, {5, {2, 6}}, {4, {1, 7}}, {3, {0, 8}}};
  CHECK(plan_of(Connections::top_down) == top_down);
  Plan both = top_down;
  for (const auto& node : Plan{{3, {9}}, {4, {8, 10}}, {5, {7, 11}}, {6, {6, 12}}, {7, {5, 13}}})
    both.push_back(node);
  CHECK(plan_of(Connections::top_down_bottom_up) == both);
  CHECK(plan_of(Connections::fully_connected, 3, 5) == Plan{{3, {0, 1, 2}}, {4, {0, 1, 2}}, {5, {0, 1, 2}}});
}

TEST_CASE("a plan has an output for each level, and every node is used") {
  for (const Connections connections : every)
    for (const int max_level : {4, 7, 8}) {
      CAPTURE(int(connections), max_level);
      const Plan plan = plan_of(connections, 3, max_level);
      const int levels = max_level - 2;
      std::set<int> used;
      std::map<int, int> output;  // the last node of each level
      for (int n = 0; n < int(plan.size()); ++n) {
        output[plan[size_t(n)].first] = levels + n;
        for (const int id : plan[size_t(n)].second) {
          CHECK(id < levels + n);
          used.insert(id);
        }
      }
      CHECK(int(output.size()) == levels);
      for (int id = 0; id < levels; ++id) CHECK(used.contains(id));
      for (int n = 0; n < int(plan.size()); ++n)
        CHECK((used.contains(levels + n) || output[plan[size_t(n)].first] == levels + n));
    }
}

TEST_CASE("sizes that do not halve evenly, in every connection and padding") {
  for (const Connections connections : every)
    for (const Padding padding : {Padding::same, Padding::symmetric}) {
      Random random(2);
      const BiFpn fpn({.connections = connections, .channels = 8, .cells = 1, .padding = padding}, {8, 8, 8},
                      random);
      const Tensors outputs = fpn.forward(
          {randn({1, 33, 30, 8}, random), randn({1, 17, 15, 8}, random), randn({1, 9, 8, 8}, random)});
      REQUIRE(outputs.size() == 5);
      CHECK(outputs[0].shape() == Shape{1, 33, 30, 8});
      CHECK(outputs[3].shape() == Shape{1, 5, 4, 8});
      CHECK(outputs[4].shape() == Shape{1, 3, 2, 8});
    }
}

TEST_CASE("every connection learns: all parameters get gradients, on CPU and CUDA alike") {
  for (const Connections connections : every)
    for (const Fusion fusion : {Fusion::fast_normalized, Fusion::softmax, Fusion::sum}) {
      CAPTURE(int(connections), int(fusion));
      Random random(3);
      BiFpnSpec spec{.connections = connections, .max_level = 6, .channels = 8, .cells = 2, .fusion = fusion};
      BiFpn fpn(spec, {5, 8, 6}, random);
      const Tensors features = {randn({2, 8, 12, 5}, random), randn({2, 4, 6, 8}, random),
                                randn({2, 2, 3, 6}, random)};
      std::vector<std::vector<double>> gradients[2];
      for (const Device device : {Device::cpu, Device::cuda}) {
        fpn.to(device);
        fpn.clear_gradients();
        Tensors inputs;
        for (const Tensor& f : features) inputs.push_back(f.to(device));
        const Tensors outputs = fpn.forward(inputs);
        REQUIRE(outputs.size() == 4);
        Tensor total;
        for (size_t level = 0; level < 4; ++level) {
          CHECK(outputs[level].size(1) == std::max<int64_t>(1, 8 >> level));
          CHECK(outputs[level].size(3) == 8);
          Random weights(level);
          const Tensor term = sum(outputs[level] * randn(outputs[level].shape(), weights).to(device));
          total = total.defined() ? total + term : term;
        }
        total.backward();
        for (const NamedTensor& p : fpn.parameters()) {
          CAPTURE(p.name);
          REQUIRE(p.tensor.grad().defined());
          gradients[device == Device::cuda].push_back(p.tensor.grad().to(Device::cpu).values());
          double norm = 0;
          for (const double g : gradients[device == Device::cuda].back()) norm += g * g;
          CHECK(std::isfinite(norm));
          // A node with one input weighs it by a constant: exactly 1, or v / (v + 1e-4), whose slope is 1e-4.
          if (!(p.tensor.numel() == 1 && fusion == Fusion::softmax)) CHECK(norm > 0);
        }
      }
      double difference = 0, norm = 0;
      for (size_t i = 0; i < gradients[0].size(); ++i)
        for (size_t k = 0; k < gradients[0][i].size(); ++k) {
          difference += std::pow(gradients[0][i][k] - gradients[1][i][k], 2);
          norm += std::pow(gradients[0][i][k], 2);
        }
      CHECK(std::sqrt(difference / norm) < 1e-4);
    }
}

TEST_CASE("connections have the number of parameters that follows from their nodes") {
  // effdet's D0 with 90 classes: fpn_name "bifpn_fa" (its own), "pan_fa" and "pan_sum"
  const auto parameters = [](Connections connections, Fusion fusion) {
    Random random(1);
    EfficientDetSpec spec = efficientdet_spec("efficientdet_d0");
    spec.fpn.connections = connections;
    spec.fpn.fusion = fusion;
    return EfficientDet(spec, 90, random).parameter_count();
  };
  CHECK(parameters(Connections::bifpn, Fusion::fast_normalized) == 3877763);
  CHECK(parameters(Connections::top_down_bottom_up, Fusion::fast_normalized) == 3878656);
  CHECK(parameters(Connections::top_down_bottom_up, Fusion::sum) == 3878602);
}
