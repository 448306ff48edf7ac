// Nothing in core/ and ops/ drops the tape; tests/models/tape_test.cpp checks the same for nn/ and models/.
#include "tests/support/tape.h"

#include "core/recompute.h"
#include "ops/activation.h"
#include "ops/batch_norm.h"
#include "ops/batch_norm_squeeze_excite.h"
#include "ops/bifpn_node.h"
#include "ops/conv1x1_batch_norm.h"
#include "ops/conv2d.h"
#include "ops/cross_entropy.h"
#include "ops/depthwise_conv2d.h"
#include "ops/detection_loss.h"
#include "ops/dropout.h"
#include "ops/indexing.h"
#include "ops/inverted_bottleneck.h"
#include "ops/matmul.h"
#include "ops/pool2d.h"
#include "ops/reduction.h"
#include "ops/resample.h"
#include "ops/shape_ops.h"
#include "ops/squeeze_excite.h"
#include "ops/unary.h"

using namespace fovea;

namespace {

std::vector<TapeRow> rows() {
  Random random(1);
  const auto x = [&](Shape shape) { return rand(shape, random, 0.2, 1); };
  const auto labels = [&](int64_t n) { return zeros({n}, DType::int32); };
  const Window window{3, 1, Padding::same};
  const RandomKey key{7};
  // A function that rebinds the handle of its first input.
  const auto rebound = [](auto f) {
    return [f](const Tensors& in) {
      Tensor y = in[0];
      f(y, in);
      return Tensors{y};
    };
  };
  return {
      {"Tensor::to", [](auto& in) { return Tensors{in[0].to(Device::cuda)}; }, {x({3, 2})}},
      {"recompute",
       [](auto& in) {
         const auto product = [w = in[1]](const Tensors& of) { return of[0] * w; };
         return Tensors{recompute(product, {in[0]}, {in[1]})};
       },
       {x({5}), x({5})}},
      {"relu", [](auto& in) { return Tensors{relu(in[0])}; }, {x({7})}},
      {"relu6", [](auto& in) { return Tensors{relu6(in[0])}; }, {x({7})}},
      {"sigmoid", [](auto& in) { return Tensors{sigmoid(in[0])}; }, {x({7})}},
      {"swish", [](auto& in) { return Tensors{swish(in[0])}; }, {x({7})}},
      {"activate",
       [](auto& in) {
         return Tensors{activate(in[0], Activation::relu), activate(in[0], Activation::identity)};
       },
       {x({7})}},
      {"add", [](auto& in) { return Tensors{add(in[0], in[1])}; }, {x({3, 2}), x({2})}},
      {"add", [](auto& in) { return Tensors{add(in[0], 2)}; }, {x({3})}},
      {"subtract", [](auto& in) { return Tensors{subtract(in[0], in[1])}; }, {x({3, 2}), x({2})}},
      {"subtract", [](auto& in) { return Tensors{subtract(2, in[0])}; }, {x({3})}},
      {"multiply", [](auto& in) { return Tensors{multiply(in[0], in[1])}; }, {x({3, 2}), x({2})}},
      {"multiply", [](auto& in) { return Tensors{multiply(in[0], 2)}; }, {x({3})}},
      {"divide", [](auto& in) { return Tensors{divide(in[0], in[1])}; }, {x({3, 2}), x({2})}},
      {"divide", [](auto& in) { return Tensors{divide(2, in[0])}; }, {x({3})}},
      {"operator+", [](auto& in) { return Tensors{in[0] + in[1]}; }, {x({3, 2}), x({2})}},
      {"operator+", [](auto& in) { return Tensors{in[0] + 2}; }, {x({3})}},
      {"operator+", [](auto& in) { return Tensors{2 + in[0]}; }, {x({3})}},
      {"operator-", [](auto& in) { return Tensors{in[0] - in[1]}; }, {x({3, 2}), x({2})}},
      {"operator-", [](auto& in) { return Tensors{in[0] - 2}; }, {x({3})}},
      {"operator-", [](auto& in) { return Tensors{2 - in[0]}; }, {x({3})}},
      {"operator-", [](auto& in) { return Tensors{-in[0]}; }, {x({3})}},
      {"operator*", [](auto& in) { return Tensors{in[0] * in[1]}; }, {x({3, 2}), x({2})}},
      {"operator*", [](auto& in) { return Tensors{in[0] * 2}; }, {x({3})}},
      {"operator*", [](auto& in) { return Tensors{2 * in[0]}; }, {x({3})}},
      {"operator/", [](auto& in) { return Tensors{in[0] / in[1]}; }, {x({3, 2}), x({2})}},
      {"operator/", [](auto& in) { return Tensors{in[0] / 2}; }, {x({3})}},
      {"operator/", [](auto& in) { return Tensors{2 / in[0]}; }, {x({3})}},
      {"operator+=", rebound([](Tensor& y, auto& in) { y += in[1]; }), {x({3, 2}), x({2})}},
      {"operator+=", rebound([](Tensor& y, auto&) { y += 2; }), {x({3})}},
      {"operator-=", rebound([](Tensor& y, auto& in) { y -= in[1]; }), {x({3, 2}), x({2})}},
      {"operator-=", rebound([](Tensor& y, auto&) { y -= 2; }), {x({3})}},
      {"operator*=", rebound([](Tensor& y, auto& in) { y *= in[1]; }), {x({3, 2}), x({2})}},
      {"operator*=", rebound([](Tensor& y, auto&) { y *= 2; }), {x({3})}},
      {"operator/=", rebound([](Tensor& y, auto& in) { y /= in[1]; }), {x({3, 2}), x({2})}},
      {"operator/=", rebound([](Tensor& y, auto&) { y /= 2; }), {x({3})}},
      {"sum_to",
       [](auto& in) {
         return Tensors{sum_to(in[0], {2}), sum_to(in[0], {3, 2})};
       },
       {x({3, 2})}},
      {"batch_norm",
       [](auto& in) {
         const auto normalized = [&](bool training) {
           return batch_norm(in[0], in[1], in[2], in[3], in[4], {.training = training});
         };
         return Tensors{normalized(false), normalized(true)};
       },
       {x({5, 3}), x({3}), x({3}), x({3}), x({3})},
       {3, 4}},
      {"batch_norm",
       [](auto& in) {
         return Tensors{
             batch_norm(in[0], {2, 3}, {{in[1], in[2], in[3], in[4]}, {in[5], in[6], in[7], in[8]}}, {})};
       },
       {x({2, 5, 3}), x({3}), x({3}), x({3}), x({3}), x({3}), x({3}), x({3}), x({3})},
       {3, 4, 7, 8}},
      {"batch_norm_squeeze_excite",
       [](auto& in) {
         BatchNormOptions options;
         options.activation = Activation::swish;
         return Tensors{batch_norm_squeeze_excite(in[0], {in[1], in[2], in[3], in[4]}, options, nullptr,
                                                  in[5], in[6], in[7], in[8])};
       },
       {x({1, 4, 4, 3}), x({3}), x({3}), x({3}), x({3}), x({3, 2}), x({2}), x({2, 3}), x({3})},
       {3, 4}},
      {"bifpn_node",
       [](auto& in) {
         return Tensors{bifpn_node({in[0], in[1]}, in[2], Fusion::softmax, 4, 4)};
       },
       {x({1, 4, 4, 3}), x({1, 2, 2, 3}), x({2})}},
      {"conv1x1_batch_norm",
       [](auto& in) {
         return Tensors{conv1x1_batch_norm(in[0], in[1], {in[2], in[3], in[4], in[5]}, {})};
       },
       {x({1, 256, 256, 1}), x({1, 4}), x({4}), x({4}), x({4}), x({4})},
       {4, 5}},
      {"conv1x1_batch_norm",
       [](auto& in) {
         return Tensors{conv1x1_batch_norm(in[0], in[1], {3, 2},
                                           {{in[2], in[3], in[4], in[5]}, {in[2], in[3], in[4], in[5]}}, {})};
       },
       {x({2, 5, 3}), x({3, 4}), x({4}), x({4}), x({4}), x({4})},
       {4, 5}},
      {"conv2d",
       [=](auto& in) { return Tensors{conv2d(in[0], in[1], window)}; },
       {x({1, 4, 4, 2}), x({3, 3, 2, 5})}},
      {"conv2d",
       [=](auto& in) { return Tensors{conv2d(in[0], in[1], in[2], window)}; },
       {x({1, 4, 4, 2}), x({3, 3, 2, 5}), x({5})}},
      {"softmax", [](auto& in) { return Tensors{softmax(in[0])}; }, {x({3, 5})}},
      {"log_softmax", [](auto& in) { return Tensors{log_softmax(in[0])}; }, {x({3, 5})}},
      {"softmax_cross_entropy",
       [](auto& in) { return Tensors{softmax_cross_entropy(in[0], in[1], 0, in[2])}; },
       {x({3, 5}), labels(3), x({5})},
       {2}},
      {"depthwise_conv2d",
       [=](auto& in) { return Tensors{depthwise_conv2d(in[0], in[1], window)}; },
       {x({1, 4, 4, 2}), x({3, 3, 2})}},
      {"depthwise_conv2d",
       [=](auto& in) {
         return Tensors{depthwise_conv2d(in[0], in[1], PyramidShape{{{2, 3}, {1, 2}}})};
       },
       {x({1, 8, 2}), x({3, 3, 2})}},
      {"focal_loss",
       [](auto& in) { return Tensors{focal_loss(in[0], in[1], in[2])}; },
       {x({3, 5}), labels(3), x({})},
       {2}},
      {"focal_loss",
       [](auto& in) { return Tensors{focal_loss(in[0], in[1], 2.0, {}, in[2])}; },
       {x({3, 5}), labels(3), x({5})},
       {2}},
      {"huber_loss",
       [](auto& in) { return Tensors{huber_loss(in[0], in[1], in[2])}; },
       {x({3, 4}), x({3, 4}), x({})},
       {1, 2}},
      {"huber_loss",
       [](auto& in) { return Tensors{huber_loss(in[0], in[1], 2.0)}; },
       {x({3, 4}), x({3, 4})},
       {1}},
      {"iou_loss",
       [](auto& in) { return Tensors{iou_loss(in[0], in[1], in[2], in[3], in[4], IouLossKind::ciou)}; },
       {x({6, 4}), x({6, 4}), labels(6), from_values({2, 4}, {0, 0, 2, 3, 1, 1, 2, 2}), x({})},
       {1, 3, 4}},
      {"iou_loss",
       [](auto& in) { return Tensors{iou_loss(in[0], in[1], in[2], in[3], 2.0, IouLossKind::giou)}; },
       {x({6, 4}), x({6, 4}), labels(6), from_values({2, 4}, {0, 0, 2, 3, 1, 1, 2, 2})},
       {1, 3}},
      {"dropout",
       [=](auto& in) {
         return Tensors{dropout(in[0], 0.5, key), dropout(in[0], 0, key)};
       },
       {x({20})}},
      {"stochastic_depth",
       [=](auto& in) {
         return Tensors{stochastic_depth(in[0], 0.5, key), stochastic_depth(in[0], 0, key)};
       },
       {x({20, 2})}},
      {"stochastic_depth_add",
       [=](auto& in) {
         return Tensors{stochastic_depth_add(in[0], in[1], 0.5, key),
                        stochastic_depth_add(in[0], in[1], 0, key)};
       },
       {x({20, 2}), x({20, 2})}},
      {"gather",
       [](auto& in) { return Tensors{gather(in[0], 1, in[1])}; },
       {x({3, 2}), zeros({3, 1}, DType::int64)}},
      {"where",
       [](auto& in) { return Tensors{where(in[0], in[1], in[2])}; },
       {from_values({2}, {1, 0}, DType::uint8), x({3, 2}), x({2})}},
      {"matmul", [](auto& in) { return Tensors{matmul(in[0], in[1])}; }, {x({3, 2}), x({2, 5})}},
      {"linear",
       [](auto& in) { return Tensors{linear(in[0], in[1], in[2])}; },
       {x({3, 2}), x({2, 5}), x({5})}},
      {"conv1x1",
       [](auto& in) { return Tensors{conv1x1(in[0], in[1], in[2])}; },
       {x({1, 3, 3, 2}), x({2, 5}), x({5})}},
      {"sum", [](auto& in) { return Tensors{sum(in[0])}; }, {x({3, 2})}},
      {"sum", [](auto& in) { return Tensors{sum(in[0], 1)}; }, {x({3, 2})}},
      {"mean", [](auto& in) { return Tensors{mean(in[0])}; }, {x({3, 2})}},
      {"mean", [](auto& in) { return Tensors{mean(in[0], 1)}; }, {x({3, 2})}},
      {"max", [](auto& in) { return Tensors{max(in[0], 1)}; }, {x({3, 2})}},
      {"inverted_bottleneck",
       [=](auto& in) {
         const BatchNormTensors ones_only{ones({8}), ones({8}), ones({8}), ones({8})};
         const EvaluationNorm norm(ones_only, {.training = false});
         return Tensors{inverted_bottleneck(in[0], {.w_depthwise = ones({3, 3, 8}),
                                                    .window = window,
                                                    .depthwise_norm = norm,
                                                    .w_reduce = ones({8, 2}),
                                                    .b_reduce = ones({2}),
                                                    .w_excite = ones({2, 8}),
                                                    .b_excite = ones({8}),
                                                    .w_project = ones({8, 8}),
                                                    .project_norm = norm})};
       },
       {x({1, 4, 4, 8})},
       {0}},
      {"argmax", [](auto& in) { return Tensors{argmax(in[0], 1)}; }, {x({3, 2})}, {0}},
      {"max_pool2d", [](auto& in) { return Tensors{max_pool2d(in[0])}; }, {x({1, 4, 4, 3})}},
      {"max_pool2d",
       [](auto& in) {
         return Tensors{max_pool2d(in[0], Window{2, 2})};
       },
       {x({1, 4, 4, 3})}},
      {"average_pool2d",
       [](auto& in) {
         return Tensors{average_pool2d(in[0], {2, 2})};
       },
       {x({1, 4, 4, 3})}},
      {"upsample_nearest",
       [](auto& in) { return Tensors{upsample_nearest(in[0], 4, 4)}; },
       {x({1, 2, 2, 3})}},
      {"reshape", [](auto& in) { return Tensors{reshape(in[0], {6})}; }, {x({3, 2})}},
      {"concat",
       [](auto& in) {
         return Tensors{concat({in[0], in[1]}, 1)};
       },
       {x({3, 2}), x({3, 1})}},
      {"slice", [](auto& in) { return Tensors{slice(in[0], 0, 1, 3)}; }, {x({3, 2})}},
      {"transpose", [](auto& in) { return Tensors{transpose(in[0], 0, 1)}; }, {x({3, 2})}},
      {"cast",
       [](auto& in) { return Tensors{cast(cast(in[0], DType::bfloat16), DType::float32)}; },
       {x({3})}},
      {"global_average_pool",
       [](auto& in) { return Tensors{global_average_pool(in[0])}; },
       {x({1, 4, 4, 3})}},
      {"exp", [](auto& in) { return Tensors{exp(in[0])}; }, {x({7})}},
      {"log", [](auto& in) { return Tensors{log(in[0])}; }, {x({7})}},
      {"sqrt", [](auto& in) { return Tensors{sqrt(in[0])}; }, {x({7})}},
      {"tanh", [](auto& in) { return Tensors{tanh(in[0])}; }, {x({7})}},
      {"squeeze_excite",
       [](auto& in) { return Tensors{squeeze_excite(in[0], in[1], in[2], in[3], in[4])}; },
       {x({1, 4, 4, 3}), x({3, 2}), x({2}), x({2, 3}), x({3})}},
  };
}

}  // namespace

TEST_CASE("each function of core and ops records itself, or throws where it has no gradient") {
  for (const TapeRow& row : rows()) check_tape(row);
}

TEST_CASE("no function of core and ops that takes tensors and returns some is forgotten") {
  check_complete({"core", "ops"}, rows(),
                 // Off the tape, as documented.
                 {"Tensor::detach", "Tensor::clone", "Tensor::clone", "Tensor::viewed_as", "Tensor::grad",
                  "Tensor::set_requires_grad", "empty_like", "zeros_like", "resampled_sum_backward",
                  "ParameterCasts::find",
                  // The others record themselves with these.
                  "record", "record_adding", "elementwise"});
}

TEST_CASE("functions that take tensors and return some are found in a header") {
  CHECK(TensorFunctions(R"re(
#define MACRO(x) Tensor in_macro(const Tensor& x);
namespace fovea {
// Tensor in_comment(const Tensor& x);
enum class Kind { one, two };
struct Pair;
Tensor plain(const Tensor& x, const Options& o = {}, double b = 1);
inline Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, "Tensor f(Tensor);"); }
Tensors list(
    const Tensors& x);
template <class T>
Tensor generic(const T& op, const Tensor& x) {
  if (x) { return op(x); }
  return x;
}
Tensor of_nothing(Shape shape);
double number(const Tensor& x);
void reads(const std::function<Tensor(const Tensors&)>& f);
class Layer : public Module {
  Tensor hidden(const Tensor& x);
 public:
  Layer(const Tensor& weight);
  Tensor forward(const Tensor& x) const { return hidden(x); }
  struct Part {
    DetectorOutput forward(const Tensor& x);
    int size() const { return size_; }
   private:
    Tensor hidden(const Tensor& x);
  };
 private:
  struct Hidden {
    Tensor forward(const Tensor& x);
  };
  Tensor weight_ = {};
};
class Tensor {
 public:
  Tensor& set(bool on);
  int64_t rank() const { return 0; }
};
Tensor last(Tensor x);
}
)re")
            .names() == std::vector<std::string>{"plain", "operator+", "list", "generic", "Layer::forward",
                                                 "Layer::Part::forward", "Tensor::set", "last"});
}
