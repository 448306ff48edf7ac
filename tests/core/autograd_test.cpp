#include "core/autograd.h"

#include <catch2/catch.hpp>
#include <thread>

#include "core/tape_observer.h"
#include "ops/activation.h"
#include "ops/arithmetic.h"
#include "ops/support/check_op.h"

using namespace fovea;

namespace {
// y = a * b, written here so that the tape is tested without any op of the library.
Tensor product(const Tensor& a, const Tensor& b) {
  Tensor y = empty_like(a);
  for (int64_t i = 0; i < y.numel(); ++i) y.data<float>()[i] = a.data<float>()[i] * b.data<float>()[i];
  return record(y, "product", {a, b}, [a = a.detach(), b = b.detach()](const Tensor& dy) -> Tensors {
    NoGrad no_grad;
    return {product(dy, b), product(dy, a)};
  });
}
}  // namespace

TEST_CASE("gradients accumulate into leaves over uses and over backward passes") {
  const Tensor x = from_values({1}, {3}).set_requires_grad();
  product(x, x).backward();
  CHECK(x.grad().item() == 6);
  product(product(x, x), x).backward();
  CHECK(x.grad().item() == 6 + 27);
  x.clear_grad();
  CHECK_FALSE(x.grad().defined());
}

TEST_CASE("a gradient passed to two inputs is not corrupted by accumulation") {
  const Tensor a = from_values({1}, {2}).set_requires_grad(), b = from_values({1}, {5}).set_requires_grad();
  const auto both = [](const Tensor& x, const Tensor& y) {
    Tensor sum = from_values({1}, {x.item() + y.item()});
    return record(sum, "add", {x, y}, [](const Tensor& dy) -> Tensors { return {dy, dy}; });
  };
  both(both(a, b), a).backward();
  CHECK(a.grad().item() == 2);
  CHECK(b.grad().item() == 1);
}

TEST_CASE("an op may add to what its input has accumulated, and no tensor that shares it changes") {
  std::vector<double> taken;  // what each op found
  // y = factor x, whose backward pass adds to the gradient itself.
  const auto scaled = [&](const Tensor& x, float factor) {
    Tensor y = empty_like(x);
    y.data<float>()[0] = factor * x.data<float>()[0];
    return record_adding(y, "scaled", {x}, [factor, &taken](const Tensor& dy, Node& node) -> Tensors {
      Tensor dx = take_gradient(node, 0);
      taken.push_back(dx.defined() ? dx.item() : -1);
      if (!dx.defined()) dx = zeros_like(dy);
      dx.data<float>()[0] += factor * dy.data<float>()[0];
      return {dx};
    });
  };
  const Tensor x = from_values({1}, {3}).set_requires_grad();
  const Tensor middle = scaled(x, 2);
  // d/dmiddle = 5 + 7 + middle's own factors in the product
  const Tensor y = product(scaled(middle, 5), scaled(middle, 7));
  y.backward();
  CHECK(x.grad().item() == 2 * 2 * 5 * 7 * 6);
  CHECK(taken == std::vector<double>{-1, 7 * 30, -1});
  const Tensor held = x.grad();
  taken.clear();
  scaled(x, 2).backward();
  CHECK(taken == std::vector<double>{840});
  CHECK(x.grad().item() == 842);
  CHECK(held.item() == 840);
  // The same input twice: for the second nothing has accumulated, and the engine adds.
  const Tensor leaf = from_values({1}, {3}).set_requires_grad();
  record_adding(from_values({1}, {6}), "twice", {leaf, leaf}, [](const Tensor& dy, Node& node) -> Tensors {
    Tensor first = take_gradient(node, 0);
    first.data<float>()[0] += 1;
    CHECK_FALSE(take_gradient(node, 1).defined());
    return {first, dy};
  }).backward((leaf.set_grad(from_values({1}, {10})), from_values({1}, {1})));
  CHECK(leaf.grad().item() == 12);
}

TEST_CASE("a second backward is explained") {
  const Tensor x = from_values({1}, {3}).set_requires_grad();
  const Tensor y = product(x, x);
  y.backward();
  CHECK_THROWS_WITH(y.backward(),
                    Catch::Contains("product") && Catch::Contains("run the forward pass again"));
}

TEST_CASE("saved tensors are freed during the backward pass") {
  const Tensor x = full({1024}, 2).set_requires_grad();
  const int64_t before = memory_use().current;
  Tensor y = swish(swish(swish(x)));
  CHECK(memory_use().current == before + 3 * 4096);
  y.backward(ones({1024}));
  CHECK(memory_use().current == before + 2 * 4096);  // y itself and the gradient of x
}

TEST_CASE("no_grad and detach leave the tape") {
  const Tensor x = from_values({1}, {3}).set_requires_grad();
  CHECK_FALSE(product(x.detach(), x.detach()).requires_grad());
  {
    NoGrad no_grad;
    CHECK_FALSE(product(x, x).requires_grad());
  }
  CHECK(product(x, x).requires_grad());
  CHECK_THROWS_WITH(x.detach().backward(), Catch::Contains("does not require a gradient"));
}

TEST_CASE("a chain of a hundred thousand ops is freed without deep recursion") {
  const Tensor x = from_values({1}, {1}).set_requires_grad();
  Tensor y = x;
  for (int i = 0; i < 100000; ++i)
    y = record(y.clone(), "copy", {y}, [](const Tensor& dy) -> Tensors { return {dy}; });
  y.backward();
  CHECK(x.grad().item() == 1);
}

TEST_CASE("a wrong gradient names the op") {
  const Tensor x = from_values({1}, {1}).set_requires_grad();
  const Tensor y = record(x.clone(), "broken", {x}, [](const Tensor&) -> Tensors { return {zeros({2})}; });
  CHECK_THROWS_WITH(y.backward(), Catch::Contains("broken returned a gradient"));
}

TEST_CASE("observers receive each op, its gradients and its end, innermost first, on their own thread") {
  struct Log : TapeObserver {
    explicit Log(std::string name_, std::vector<std::string>& lines_)
        : name(std::move(name_)), lines(lines_) {}
    void on_op(const Op& op, const Tensors& inputs, const Tensor& output) override {
      lines.push_back(fmt::format("{} {} of {} makes {}", name, op.name, inputs.size(), output.shape()));
    }
    void on_gradients(const Node& node, const Tensors& gradients) override {
      lines.push_back(fmt::format("{} {} returns {}", name, node.op, gradients.size()));
    }
    void on_backward_done(const Node& node) override {
      lines.push_back(fmt::format("{} {} done", name, node.op));
    }
    std::string name;
    std::vector<std::string>& lines;
  };
  std::vector<std::string> lines;
  const Tensor x = ones({3});
  x.set_requires_grad();
  const Log outer("outer", lines);
  Tensor y;
  {
    const Log inner("inner", lines);
    y = swish(x);
  }
  CHECK(lines == std::vector<std::string>{"inner swish of 1 makes 3", "outer swish of 1 makes 3"});
  lines.clear();
  y.backward(ones({3}));
  REQUIRE(lines.size() >= 2);
  CHECK(lines[lines.size() - 2] == "outer swish returns 1");
  CHECK(lines.back() == "outer swish done");
  lines.clear();
  std::thread([&] { swish(x); }).join();
  CHECK(lines.empty());
}

TEST_CASE("a gradient goes back to the device that its tensor came from") {
  for (const auto& [here, there] :
       {std::pair{Device::cpu, Device::cuda}, std::pair{Device::cuda, Device::cpu}}) {
    const Tensor x = from_values({2}, {3, 5}).to(here).set_requires_grad();
    // Through the other device only, in two terms: y = x + 2 x.
    x.to(there).backward(from_values({2}, {7, 11}).to(there));
    CHECK(x.grad().device() == here);
    CHECK(x.grad().values() == std::vector<double>{7, 11});
    x.clear_grad();
    const Tensor y = x + x.to(there).to(here) * 2;
    y.backward(ones({2}, DType::float32, here));
    CHECK(x.grad().values() == std::vector<double>{3, 3});
    CHECK(x.to(here).node() == x.node());
    const NoGrad no_grad;
    CHECK_FALSE(x.to(there).requires_grad());
  }
  Random random(3);
  const auto other = [](Device device) { return device == Device::cpu ? Device::cuda : Device::cpu; };
  for (const int64_t n : {1, 7, 1031})
    CHECK_NOTHROW(check_op(
        [&](const Tensors& in) {
          const Device device = in[0].device();
          return in[0].to(other(device)).to(device) * in[0];
        },
        {randn({n}, random, DType::float64)}, {.max_probes = 20}));
}

TEST_CASE("a gradient on the wrong device names the op") {
  const Tensor x = from_values({1}, {1}).set_requires_grad();
  const Tensor there = zeros({1}, DType::float32, Device::cuda);
  CHECK_THROWS_WITH(product(x, x).backward(there),
                    "[backward] the gradient is float32 of 1 on cuda, the tensor is float32 of 1 on cpu");
  const Tensor y = record(x.clone(), "astray", {x}, [=](const Tensor&) -> Tensors { return {there}; });
  CHECK_THROWS_WITH(y.backward(), Catch::Contains("astray returned a gradient float32 of 1 on cuda"));
  CHECK_THROWS_WITH(x.set_grad(there), "[set_grad] the gradient must be a float32 of 1 on cpu");
}

TEST_CASE("a leaf moves to another device, an op's output does not") {
  const Tensor x = from_values({2}, {3, 5}).set_requires_grad();
  const Tensor y = product(x, x);
  CHECK_THROWS_WITH(y.move_to(Device::cuda),
                    "[move_to] the tensor is the output of product, which needs it where it is: use to()");
  x.move_to(Device::cuda);
  (x * 2).backward(ones({2}, DType::float32, Device::cuda));
  CHECK(x.grad().device() == Device::cuda);
  CHECK(x.grad().values() == std::vector<double>{2, 2});
}
