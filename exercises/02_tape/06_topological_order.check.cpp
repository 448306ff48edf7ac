#include "check.h"

#include <06_topological_order.h>
#include <fovea/core/random.h>

#include <algorithm>
#include <chrono>
#include <map>

using namespace fovea::learn;

namespace {

// For this exercise a node's op is its name.
Value node(const char* name, std::vector<Value> inputs = {}) {
  auto result = std::make_shared<Node>();
  result->op = name;
  result->inputs = std::move(inputs);
  return result;
}

std::string names(const std::vector<Node*>& order) {
  std::string text;
  for (const Node* n : order) text += (text.empty() ? "" : ", ") + std::string(n->op);
  return text;
}

// `count` nodes, each once, inputs first.
void expect_order(const std::vector<Node*>& order, size_t count, const std::string& graph) {
  const std::string what = order.size() <= 12 ? fmt::format("{} -> {{{}}}", graph, names(order)) : graph;
  std::map<const Node*, size_t> place;
  for (size_t i = 0; i < order.size(); ++i) {
    expect(order[i], "{}: entry {} of the order is null", graph, i);
    const auto [other, is_new] = place.emplace(order[i], i);
    expect(is_new, "{}: node {} is in the order twice, as entries {} and {}", what, order[i]->op,
           other->second, i);
  }
  expect(order.size() == count, "{}: the order has {} of the tape's {} nodes", what, order.size(), count);
  for (size_t i = 0; i < order.size(); ++i)
    for (const Value& input : order[i]->inputs) {
      expect(place.contains(input.get()), "{}: node {} is missing, an input of {}", what, input->op,
             order[i]->op);
      expect(place[input.get()] < i, "{}: node {} comes before its input {}", what, order[i]->op, input->op);
    }
}

}  // namespace

STEP("a leaf, and a chain of three") {
  const Value x = node("x"), g = node("g", {x}), f = node("f", {g});
  expect_order(topological_order(x), 1, "x");
  expect_order(topological_order(f), 3, "f(g(x))");
}

STEP("a node that is used twice is in the order once") {
  const Value x = node("x"), a = node("a", {x}), b = node("b", {x}), root = node("root", {a, b});
  expect_order(topological_order(root), 4, "root(a(x), b(x))");
  const Value square = node("square", {x, x});
  expect_order(topological_order(square), 2, "square(x, x)");
}

STEP("a short way and a long way to the same input") {
  const Value x = node("x"), h = node("h", {x}), g = node("g", {h});
  const Value long_first = node("root", {g, x}), short_first = node("root", {x, g});
  expect_order(topological_order(long_first), 4, "root(g(h(x)), x)");
  expect_order(topological_order(short_first), 4, "root(x, g(h(x)))");
}

STEP("100 tapes at random") {
  fovea::Random random(1);
  const char* const letters[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"};
  for (int trial = 0; trial < 100; ++trial) {
    std::vector<Value> nodes = {node(letters[0])};
    std::string graph = "a";
    while (nodes.size() < 10) {
      // The node before it, so that all belong to the last one's tape, and two of any.
      std::vector<Value> inputs = {nodes.back()};
      for (int i = 0; i < 2; ++i) inputs.push_back(nodes[size_t(random.uniform(0, double(nodes.size())))]);
      std::rotate(inputs.begin(), inputs.begin() + trial % 3, inputs.end());
      nodes.push_back(node(letters[nodes.size()], inputs));
      graph += fmt::format(", {}({}, {}, {})", nodes.back()->op, inputs[0]->op, inputs[1]->op, inputs[2]->op);
    }
    expect_order(topological_order(nodes.back()), 10, graph);
  }
}

STEP("each node is visited once, and not once for each path") {
  Value x = node("x");
  for (int level = 0; level < 21; ++level) x = node("twice", {x, x});
  double seconds = 1e9;  // the least of three: the machine may be busy
  for (int trial = 0; trial < 3; ++trial) {
    const auto start = std::chrono::steady_clock::now();
    const std::vector<Node*> order = topological_order(x);
    seconds =
        std::min(seconds, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    expect_order(order, 22, "21 nodes, each using the one before twice");
  }
  expect(seconds < 0.03,
         "21 nodes, each using the one before twice: it took {:.2f} s. There are 2^21 paths from the result "
         "to the "
         "leaf: remember which nodes were found, and do not follow them again",
         seconds);
}

STEP("a chain of 300,000 nodes: recursion would overflow the stack") {
  Value x = node("x");
  for (int i = 1; i < 300000; ++i) x = node("next", {x});
  expect_order(topological_order(x), 300000, "a chain of 300,000 nodes");
}
