#include "core/recompute.h"

#include <catch2/catch.hpp>

#include "core/tape_observer.h"
#include "ops/activation.h"
#include "ops/arithmetic.h"

using namespace fovea;

namespace {

Tensor leaf(const std::vector<double>& values) {
  return from_values({int64_t(values.size())}, values).set_requires_grad();
}

const auto one_of_two = [](const Tensors& in) { return swish(swish(in[0]) * in[1]); };

}  // namespace

TEST_CASE("a recomputed function gives the value and the gradients of the function itself") {
  const Tensor x = leaf({-1.5, 0.25, 3}), w = leaf({2, -0.5, 1.25});
  const Tensor plain = one_of_two({x, w});
  plain.backward(ones({3}));
  const auto dx = x.grad().values(), dw = w.grad().values();
  x.clear_grad();
  w.clear_grad();

  int calls = 0;
  std::vector<bool> first, again;
  const auto counted = [&](const Tensors& in) {
    ++calls;
    first.push_back(will_be_recomputed());
    again.push_back(is_recomputing());
    return one_of_two(in);
  };
  SECTION("of its inputs") {
    const Tensor y = recompute(counted, {x, w});
    CHECK(y.values() == plain.values());
    CHECK(std::string(y.node()->op) == "recompute");
    y.backward(ones({3}));
  }
  SECTION("of leaves that it uses besides them") {
    recompute([&](const Tensors& in) { return counted({in[0], w}); }, {x}, {w}).backward(ones({3}));
  }
  SECTION("where only such a leaf needs one") {
    recompute([&](const Tensors& in) { return counted({in[0], w}); }, {x.detach()}, {w}).backward(ones({3}));
    CHECK_FALSE(x.grad().defined());
    x.set_grad(from_values({3}, dx));
  }
  SECTION("within another") {
    const auto outer = [&](const Tensors& in) { return swish(recompute(counted, in)); };
    const Tensor y = recompute(outer, {x, w});
    y.backward(ones({3}));
    CHECK(calls == 3);  // the outer one's first run, and in its second run the inner one's two
    CHECK(first == std::vector<bool>{true, true, false});
    CHECK(again == std::vector<bool>{false, true, true});
    CHECK_FALSE(is_recomputing());
    return;
  }
  CHECK(x.grad().values() == dx);
  CHECK(w.grad().values() == dw);
  CHECK(calls == 2);
  CHECK(first == std::vector<bool>{true, false});
  CHECK(again == std::vector<bool>{false, true});
  CHECK_FALSE(will_be_recomputed());
  CHECK_FALSE(is_recomputing());
}

TEST_CASE("gradients of a tensor with other uses are added up in the order of the tape") {
  // 1e8 - 1e8 + 3 + 1 is 4, but 1e8 + (3 - 1e8) + 1 is 1 in float32, whose numbers are 8 apart there.
  const auto gradient = [](bool again) {
    const Tensor x = leaf({1});
    const Tensor before = x * 1.0;
    const auto twice = [](const Tensors& in) {
      const Tensor small = in[0] * 3.0, large = in[0] * -1e8;  // the later one is visited first
      return small + large;
    };
    const Tensor piece = again ? recompute(twice, {x}) : twice({x});
    const Tensor after = x * 1e8;
    (before + piece + after).backward();
    return x.grad().item();
  };
  CHECK(gradient(false) == 4);
  CHECK(gradient(true) == 4);
}

TEST_CASE("a recomputed function keeps only its inputs, and frees what it recomputed") {
  const Tensor x = full({1024}, 2).set_requires_grad();
  const auto three = [](const Tensors& in) { return swish(swish(swish(in[0]))); };
  const int64_t before = memory_use().current;
  Tensor y = recompute(three, {x});
  CHECK(memory_use().current == before + 4096);  // y, where three swishes keep two more
  reset_peak_memory();
  y.backward(ones({1024}));
  CHECK(memory_use().current == before + 2 * 4096);  // y and the gradient of x
  CHECK(memory_use().peak > before + 4 * 4096);
}

TEST_CASE("where no gradient is required, a function is only called") {
  const Tensor x = leaf({1, 2}), w = leaf({3, 4});
  CHECK_FALSE(recompute(one_of_two, {x.detach(), w.detach()}).requires_grad());
  {
    const NoGrad no_grad;
    CHECK_FALSE(recompute(one_of_two, {x, w}).requires_grad());
    const WithGrad with_grad;
    CHECK(recompute(one_of_two, {x, w}).requires_grad());
  }
  // Also where an observer needs every op: a graph is being drawn.
  struct Counter : TapeObserver {
    int ops = 0;
    void on_op(const Op&, const Tensors&, const Tensor&) override { ++ops; }
    bool needs_whole_graph() const override { return true; }
  } counter;
  const Tensor y = recompute(one_of_two, {x, w});
  CHECK(std::string(y.node()->op) == "swish");
  CHECK(counter.ops == 3);
}

TEST_CASE("inputs of a recomputed function may be left out, or be integers") {
  const Tensor x = leaf({1, 2}), index = from_values({2}, {7, 8}, DType::int32);
  const auto f = [](const Tensors& in) {
    CHECK_FALSE(in[1].defined());
    CHECK(in[2].values() == std::vector<double>{7, 8});
    return in[0] * 2.0;
  };
  recompute(f, {x, Tensor(), index}).backward(ones({2}));
  CHECK(x.grad().values() == std::vector<double>{2, 2});
}
