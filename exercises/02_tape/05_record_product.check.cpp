#include "check.h"

#include <05_record_product.h>

using namespace fovea::learn;

namespace {

// What backward returns for this gradient.
std::vector<double> backward_of(const Value& y, double gradient) {
  expect(bool(y->backward), "the node's `backward` is empty");
  const std::vector<double> gradients = y->backward(gradient);
  expect(gradients.size() == 2, "backward: expected 2 gradients, one for each input, got {}",
         gradients.size());
  return gradients;
}

void expect_inputs(const Value& y, const Value& a, const Value& b) {
  expect(y->inputs.size() == 2, "the node has {} inputs, a product has 2", y->inputs.size());
  expect(y->inputs[0] == a && y->inputs[1] == b,
         "the node's inputs should be a and b themselves, in this order: gradients are added to these nodes");
}

}  // namespace

STEP("the node holds the product, its name and its inputs") {
  const Value a = leaf(2), b = leaf(3), y = record_product(a, b);
  expect_close(y->value, 6, "the value of 2 * 3");
  expect_inputs(y, a, b);
  expect(std::string_view(y->op) == "multiply", "the node's op should be \"multiply\" and is \"{}\"", y->op);
}

STEP("the gradients of 2 * 3 are 3 and 2") {
  const std::vector<double> got = backward_of(record_product(leaf(2), leaf(3)), 1);
  expect(!(got[0] == 2 && got[1] == 3),
         "backward(1) of 2 * 3: expected {{3, 2}}, got {{2, 3}}: where a grows by 1, the product grows by b");
  expect_close(got, std::vector<double>{3, 2}, "backward(1) of 2 * 3");
}

STEP("the output's gradient is a factor: the chain rule") {
  const std::vector<double> got = backward_of(record_product(leaf(2), leaf(3)), 10);
  expect(!(got[0] == 3 && got[1] == 2),
         "backward(10) of 2 * 3: expected {{30, 20}}, got {{3, 2}}: these are dy/da and dy/db; multiplied by "
         "d(loss)/dy they are d(loss)/da and d(loss)/db");
  expect_close(got, std::vector<double>{30, 20}, "backward(10) of 2 * 3");
}

STEP("a square: the same input twice") {
  const Value a = leaf(5), y = record_product(a, a);
  expect_close(y->value, 25, "the value of 5 * 5");
  expect_inputs(y, a, a);
  expect_close(backward_of(y, 1), std::vector<double>{5, 5},
               "backward(1) of 5 * 5 has a gradient for each of the two inputs; the caller adds them");
}

STEP("backward works when the caller's variables hold something else") {
  Value a = leaf(2), b = leaf(3);
  const Value y = record_product(a, b);
  a = leaf(100);
  b = leaf(50);
  const std::vector<double> got = backward_of(y, 1);
  expect(!(got[0] == 50 && got[1] == 100),
         "backward(1) of 2 * 3: expected {{3, 2}}, got {{50, 100}}, what the caller's variables hold now: "
         "the lambda "
         "captured a and b by reference. Capture copies");
  expect_close(got, std::vector<double>{3, 2}, "backward(1) of 2 * 3");
}

STEP("the node is freed when nothing refers to it") {
  std::weak_ptr<Node> freed;
  {
    const Value y = record_product(leaf(2), leaf(3));
    freed = y;
  }
  expect(
      freed.expired(),
      "the product was dropped and its node is still there: does its `backward` hold the node itself? Shared "
      "pointers in a cycle are never freed");
}
