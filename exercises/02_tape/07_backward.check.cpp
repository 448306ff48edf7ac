#include "check.h"

#include <07_backward.h>
#include <fovea/ops/arithmetic.h>
#include <fovea/ops/reduction.h>

#include <functional>
#include <set>

using namespace fovea::learn;
using fovea::Tensor;

namespace {

Value product(const Value& a, const Value& b) {
  auto node = std::make_shared<Node>();
  node->op = "multiply";
  node->value = a->value * b->value;
  node->inputs = {a, b};
  node->backward = [a = a->value, b = b->value](double gradient) {
    return std::vector<double>{gradient * b, gradient * a};
  };
  return node;
}

void append(Node* node, std::vector<Node*>& order, std::set<Node*>& found) {
  if (!found.insert(node).second) return;
  for (const Value& input : node->inputs) append(input.get(), order, found);
  order.push_back(node);
}

void run(const Value& loss) {
  std::vector<Node*> order;
  std::set<Node*> found;
  append(loss.get(), order, found);
  try {
    backward(order);
  } catch (const std::bad_function_call&) {
    wrong("a leaf's `backward` is empty and was called: call only those that are not empty");
  }
}

}  // namespace

STEP("the gradient of the loss itself is 1") {
  const Value x = leaf(4);
  run(x);
  expect_close(x->gradient, 1, "the loss is a leaf: d(loss)/d(loss)");
}

STEP("a product and a sum: loss = a b + c at a = 2, b = 3, c = 5") {
  const Value a = leaf(2), b = leaf(3), c = leaf(5), ab = product(a, b), loss = record_sum(ab, c);
  run(loss);
  expect_close(loss->gradient, 1, "d(loss)/d(loss)");
  expect_close(c->gradient, 1, "d(loss)/dc");
  expect_close(ab->gradient, 1, "d(loss)/d(a b)");
  expect_close(a->gradient, 3, "d(loss)/da, which is b");
  expect_close(b->gradient, 2, "d(loss)/db, which is a");
}

STEP("the chain rule: loss = (a b) c at a = 2, b = 3, c = 5") {
  const Value a = leaf(2), b = leaf(3), c = leaf(5), loss = product(product(a, b), c);
  run(loss);
  expect_close(a->gradient, 15, "d(loss)/da, which is b c");
  expect_close(b->gradient, 10, "d(loss)/db, which is a c");
  expect_close(c->gradient, 6, "d(loss)/dc, which is a b");
}

STEP("a value that is used several times: gradients are added") {
  const Value x = leaf(3), square = product(x, x);
  run(square);
  expect(x->gradient != 3,
         "loss = x x at x = 3: expected d(loss)/dx = 6, got 3: both inputs of the product are x, and each "
         "brings 3. Add "
         "what arrives to the gradient instead of assigning it");
  expect_close(x->gradient, 6, "loss = x x at x = 3: d(loss)/dx");

  const Value y = leaf(3), loss = record_sum(product(y, leaf(10)), y);
  run(loss);
  expect(y->gradient != 10 && y->gradient != 1,
         "loss = 10 y + y: expected d(loss)/dy = 11, got {}: y is used by the product, which brings 10, and "
         "by the sum, "
         "which brings 1. Add what arrives",
         y->gradient);
  expect_close(y->gradient, 11, "loss = 10 y + y: d(loss)/dy");
}

STEP("a node gives its gradient to its inputs when its own is complete: y = 2 x, loss = y y + y at x = 3") {
  const Value x = leaf(3), y = product(leaf(2), x), loss = record_sum(product(y, y), y);
  run(loss);
  expect_close(y->gradient, 13, "d(loss)/dy, which is 2 y + 1");
  expect_close(x->gradient, 26, "d(loss)/dx, which is 2 (2 y + 1)");
}

STEP("a layer with a squared error: the gradients of Fovea's tape") {
  const std::vector<double> w = sample(3, 1), x = sample(3, 2);
  std::vector<Value> weights, inputs;
  Value error = leaf(-0.5);
  for (int i = 0; i < 3; ++i) {
    weights.push_back(leaf(w[i]));
    inputs.push_back(leaf(x[i]));
    error = record_sum(error, product(weights[i], inputs[i]));
  }
  run(product(error, error));

  const Tensor ws = fovea::from_values({3}, w, fovea::DType::float64).set_requires_grad();
  const Tensor xs = fovea::from_values({3}, x, fovea::DType::float64).set_requires_grad();
  const Tensor difference = fovea::sum(ws * xs) + -0.5;
  (difference * difference).backward();
  for (int i = 0; i < 3; ++i) {
    expect_close(weights[i]->gradient, ws.grad().values()[i], fmt::format("d(loss)/dw[{}]", i), 1e-12);
    expect_close(inputs[i]->gradient, xs.grad().values()[i], fmt::format("d(loss)/dx[{}]", i), 1e-12);
  }
}
