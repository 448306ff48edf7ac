#include "core/autograd.h"

#include <catch2/catch.hpp>
#include <thread>

#include "core/tape_observer.h"
#include "ops/activation.h"

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
  Tensor x = from_values({1}, {3}).set_requires_grad();
  product(x, x).backward();
  CHECK(x.grad().item() == 6);
  product(product(x, x), x).backward();
  CHECK(x.grad().item() == 6 + 27);
  x.clear_grad();
  CHECK_FALSE(x.grad().defined());
}

TEST_CASE("a gradient passed to two inputs is not corrupted by accumulation") {
  Tensor a = from_values({1}, {2}).set_requires_grad(), b = from_values({1}, {5}).set_requires_grad();
  const auto both = [](const Tensor& x, const Tensor& y) {
    Tensor sum = from_values({1}, {x.item() + y.item()});
    return record(sum, "add", {x, y}, [](const Tensor& dy) -> Tensors { return {dy, dy}; });
  };
  both(both(a, b), a).backward();
  CHECK(a.grad().item() == 2);
  CHECK(b.grad().item() == 1);
}

TEST_CASE("a second backward is explained") {
  Tensor x = from_values({1}, {3}).set_requires_grad();
  const Tensor y = product(x, x);
  y.backward();
  CHECK_THROWS_WITH(y.backward(),
                    Catch::Contains("product") && Catch::Contains("run the forward pass again"));
}

TEST_CASE("saved tensors are released on the way back") {
  Tensor x = full({1024}, 2).set_requires_grad();
  const int64_t before = memory_use().current;
  Tensor y = swish(swish(swish(x)));
  CHECK(memory_use().current == before + 3 * 4096);
  y.backward(ones({1024}));
  CHECK(memory_use().current == before + 2 * 4096);  // y itself and the gradient of x
}

TEST_CASE("no_grad and detach leave the tape") {
  Tensor x = from_values({1}, {3}).set_requires_grad();
  CHECK_FALSE(product(x.detach(), x.detach()).requires_grad());
  {
    NoGrad no_grad;
    CHECK_FALSE(product(x, x).requires_grad());
  }
  CHECK(product(x, x).requires_grad());
  CHECK_THROWS_WITH(x.detach().backward(), Catch::Contains("requires no gradient"));
}

TEST_CASE("a chain of a hundred thousand ops is freed without deep recursion") {
  Tensor x = from_values({1}, {1}).set_requires_grad();
  Tensor y = x;
  for (int i = 0; i < 100000; ++i)
    y = record(y.clone(), "copy", {y}, [](const Tensor& dy) -> Tensors { return {dy}; });
  y.backward();
  CHECK(x.grad().item() == 1);
}

TEST_CASE("a wrong gradient names the op") {
  Tensor x = from_values({1}, {1}).set_requires_grad();
  const Tensor y = record(x.clone(), "broken", {x}, [](const Tensor&) -> Tensors { return {zeros({2})}; });
  CHECK_THROWS_WITH(y.backward(), Catch::Contains("broken returned a gradient"));
}

TEST_CASE("observers see each op, its gradients and its end, innermost first, on their own thread") {
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
  Tensor x = ones({3});
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
