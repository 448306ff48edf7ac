#include "models/onnx/graph_recorder.h"

#include <catch2/catch.hpp>

#include "ops/activation.h"
#include "ops/arithmetic.h"
#include "ops/conv2d.h"
#include "ops/shape_ops.h"

using namespace fovea;
using Catch::Contains;

TEST_CASE("ops are recorded in order, with attributes, inputs, shapes and constants, also under no_grad") {
  const NoGrad no_grad;
  const Tensor x = ones({1, 4, 4, 2}), w = full({3, 3, 2, 5}, 0.5);
  GraphRecorder recorder;
  const int input = recorder.input(x);
  const Tensor y = relu(conv2d(x, w, {3, 2, Padding::symmetric}) + 2.0);
  const RecordedGraph& graph = recorder.graph();
  REQUIRE(graph.ops.size() == 3);
  const RecordedOp &convolution = graph.ops[0], &sum = graph.ops[1], &last = graph.ops[2];
  CHECK(convolution.name == "conv2d");
  CHECK(convolution.attribute<int64_t>("kernel") == 3);
  CHECK(convolution.attribute<int64_t>("stride") == 2);
  CHECK(convolution.attribute<std::string>("padding") == "symmetric");
  CHECK(convolution.inputs[0] == input);
  const RecordedValue& weight = graph.values[size_t(convolution.inputs[1])];
  CHECK(weight.shape == Shape{3, 3, 2, 5});
  CHECK(weight.constant.raw() == w.raw());
  CHECK_FALSE(graph.values[size_t(input)].constant.defined());
  CHECK(graph.values[size_t(convolution.output)].shape == Shape{1, 2, 2, 5});
  CHECK(sum.name == "add");
  CHECK(sum.attribute<double>("factor") == 1);
  CHECK(sum.attribute<double>("term") == 2);
  CHECK(sum.inputs == std::vector<int>{convolution.output});
  CHECK(last.inputs == std::vector<int>{sum.output});
  CHECK(recorder.value(y) == last.output);
  CHECK_THROWS_WITH(last.attribute<double>("slope"),
                    Contains("relu was recorded without its attribute slope"));
}

TEST_CASE("detached tensors are the same value, and unrecorded views are reshapes") {
  const Tensor x = ones({2, 3});
  GraphRecorder recorder;
  recorder.input(x);
  const Tensor y = relu(x);
  CHECK(recorder.value(y.detach()) == recorder.value(y));
  const Tensor z = relu(y.viewed_as({3, 2}));
  const auto& ops = recorder.graph().ops;
  REQUIRE(ops.size() == 3);
  CHECK(ops[1].name == "reshape");
  CHECK(ops[1].inputs == std::vector<int>{ops[0].output});
  CHECK(ops[2].inputs == std::vector<int>{ops[1].output});
  const Tensor back = reshape(z, {2, 3});
  CHECK(recorder.value(back) != recorder.value(z));
}

TEST_CASE("a tensor in the memory of a freed one is another value, and recording did not keep that memory") {
  const Tensor x = ones({1 << 12});
  GraphRecorder recorder;
  recorder.input(x);
  const int64_t before = memory_use().current;
  int dead = no_value;
  const std::byte* place = nullptr;
  {
    const Tensor y = relu(x);
    dead = recorder.value(y);
    place = y.raw();
  }
  CHECK(memory_use().current == before);
  for (int i = 0; i < 8; ++i) {
    const Tensor constant = ones({1 << 12});
    CHECK(recorder.value(constant) != dead);
    CHECK(recorder.graph().values.back().constant.defined());
    if (constant.raw() == place) break;  // as the pool gives it back
  }
}

TEST_CASE("attributes are made only during a recording, and the outer recorder continues afterwards") {
  int asked = 0;
  const auto attributes = [&] {
    ++asked;
    return Attributes{{"n", 1}};
  };
  const auto op = [&](const Tensor& x) { return record(x.clone(), {"copy", attributes}, {x, Tensor()}, {}); };
  const Tensor x = ones({1});
  op(x);
  CHECK(asked == 0);
  GraphRecorder outer;
  {
    GraphRecorder inner;
    op(x);
    CHECK(inner.graph().ops.size() == 1);
    CHECK(inner.graph().ops[0].inputs == std::vector<int>{0, no_value});
  }
  CHECK(asked == 2);  // once for each of the two
  op(x);
  CHECK(asked == 3);
  CHECK(outer.graph().ops.size() == 2);
}

TEST_CASE("a copy on another device is recorded, and reading numbers is not") {
  GraphRecorder recorder;
  const Tensor x = ones({2}, DType::float32, Device::cuda);
  recorder.input(x);
  CHECK(x.values() == std::vector<double>{1, 1});
  CHECK(recorder.graph().ops.empty());
  const Tensor here = x.to(Device::cpu);
  REQUIRE(recorder.graph().ops.size() == 1);
  CHECK(recorder.graph().ops[0].name == "to");
  CHECK(recorder.value(here) == recorder.graph().ops[0].output);
}
