#include "models/quantization/quantized_network.h"

#include <algorithm>
#include <cmath>

#include "core/autograd.h"
#include "core/error.h"
#include "models/onnx/ops.h"
#include "ops/activation.h"
#include "ops/arithmetic.h"
#include "ops/conv2d.h"
#include "ops/depthwise_conv2d.h"
#include "ops/matmul.h"
#include "ops/pool2d.h"
#include "ops/shape_ops.h"
#include "ops/squeeze_excite.h"
#include "ops/support/attributes.h"

namespace fovea {
namespace {

Activation activation_of(const std::string& op) {
  for (const Activation activation : all_activations)
    if (op == name(activation)) return activation;
  return Activation::identity;
}

Fusion fusion_of(const std::string& word) {
  for (const Fusion fusion : {Fusion::softmax, Fusion::fast_normalized})
    if (word == name(fusion)) return fusion;
  return Fusion::sum;
}

// 256 bytes: an activation's, for each byte of its input.
std::vector<uint8_t> table_of(Activation activation, const ByteScale& in, const ByteScale& out) {
  std::vector<uint8_t> table(256);
  with_activation(activation, [&]<class F>() {
    for (int i = 0; i < 256; ++i) table[size_t(i)] = out.byte(F::forward(in.number(i)));
  });
  return table;
}

// Also none so large that the difference of two is infinite.
bool all_finite(const Tensor& tensor) {
  const auto numbers = tensor.span<float>();
  return std::all_of(numbers.begin(), numbers.end(), [](float x) { return std::abs(x) <= 1e30f; });
}

}  // namespace

QuantizedNetwork::QuantizedNetwork(const Forward& forward, int height, int width) {
  const NoGrad no_grad;
  GraphRecorder recorder;
  const Tensor image = zeros({1, height, width, 3});
  input_ = recorder.input(image);
  for (const Tensor& output : forward(image)) outputs_.push_back(recorder.value(output));
  const RecordedGraph& graph = recorder.graph();
  for (const RecordedValue& value : graph.values) shapes_.push_back(value.shape);
  for (const RecordedOp& op : graph.ops) add_layer(graph, op);
  join_squeeze_excite();
  find_floats();
}

QuantizedNetwork::Layer& QuantizedNetwork::maker(int value) {
  const auto found =
      std::find_if(layers_.begin(), layers_.end(), [&](const Layer& layer) { return layer.output == value; });
  require(found != layers_.end(),
          "[quantize] a batch norm has no convolution before it: only those are folded");
  return *found;
}

void QuantizedNetwork::add_layer(const RecordedGraph& graph, const RecordedOp& op) {
  if (op.name == "batch_norm") return fold(graph, op);
  Layer layer;
  layer.op = op.name;
  layer.output = op.output;
  layer.attributes = op.attributes;
  const auto constant = [&](size_t input) { return graph.values[size_t(op.inputs[input])].constant; };
  const auto has = [&](size_t input) { return input < op.inputs.size() && op.inputs[input] != no_value; };
  size_t computed = op.inputs.size();  // inputs that are no weights
  if (op.name == "conv2d" || op.name == "depthwise_conv2d" || op.name == "conv1x1") {
    computed = 1;
    layer.weight = constant(1).clone();
    layer.bias = has(2) ? constant(2).clone() : zeros({layer.weight.size(-1)});
    layer.window = op.name == "conv1x1"
                       ? Window{1, 1}
                       : Window{int(op.attribute<int64_t>("kernel")), int(op.attribute<int64_t>("stride")),
                                parse_padding(op.attribute<std::string>("padding"))};
  } else if (op.name == "squeeze_excite") {
    computed = 1;
    for (size_t i = 1; i < op.inputs.size(); ++i) layer.parameters.push_back(constant(i).clone());
  } else if (op.name == "bifpn_node") {
    computed = op.inputs.size() - 1;  // the weights come last
    if (has(computed)) layer.parameters.push_back(constant(computed).clone());
    layer.fusion = fusion_of(op.attribute<std::string>("fusion"));
    layer.activation = activation_of(op.attribute<std::string>("activation"));
    layer.padding = parse_padding(op.attribute<std::string>("padding"));
  } else if (op.name == "max_pool2d") {
    layer.window = {int(op.attribute<int64_t>("kernel")), int(op.attribute<int64_t>("stride")),
                    parse_padding(op.attribute<std::string>("padding"))};
  } else if (op.name == "concat") {
    layer.axis = int(op.attribute<int64_t>("axis"));
  } else if (activation_of(op.name) != Activation::identity) {
    layer.op = "activation";
    layer.activation = activation_of(op.name);
  } else {
    require(
        op.name == "add" || op.name == "reshape",
        "[quantize] {} is not computed in bytes: networks in evaluation mode, of the ops that EfficientDets "
        "are made of, can be quantised",
        op.name);
  }
  layer.inputs.assign(op.inputs.begin(), op.inputs.begin() + long(computed));
  for (const int input : layer.inputs)
    require(!graph.values[size_t(input)].constant.defined(),
            "[quantize] {} reads a constant of {} where only what is computed from the image can be", op.name,
            graph.values[size_t(input)].shape);
  layers_.push_back(std::move(layer));
}

// The batch norm by its running averages becomes part of the convolution before it.
void QuantizedNetwork::fold(const RecordedGraph& graph, const RecordedOp& norm) {
  Layer& layer = maker(norm.inputs[0]);
  require(layer.is_convolution() && norm.attribute<int64_t>("training") == 0,
          "[quantize] a batch norm is after {}, or took its statistics from the batch: call "
          "set_training(false) on "
          "the network before",
          layer.op);
  const auto number = [&](size_t input, int64_t channel) {
    return double(graph.values[size_t(norm.inputs[input])].constant.data<float>()[channel]);
  };
  const int64_t channels = layer.bias.numel();
  for (int64_t c = 0; c < channels; ++c) {
    const double scale = number(1, c) / std::sqrt(number(4, c) + norm.attribute<double>("epsilon"));
    for (int64_t i = c; i < layer.weight.numel(); i += channels)
      layer.weight.data<float>()[i] = float(layer.weight.data<float>()[i] * scale);
    float& bias = layer.bias.data<float>()[c];
    bias = float((double(bias) - number(3, c)) * scale + number(2, c));
  }
  layer.activation = activation_of(norm.attribute<std::string>("activation"));
  layer.output = norm.output;
}

// What the pixels' channels are multiplied with is part of the 1x1 convolution that reads them, and their
// sums of the depthwise one that makes them.
void QuantizedNetwork::join_squeeze_excite() {
  for (const Layer& layer : layers_) {
    if (layer.op != "squeeze_excite") continue;
    const auto joins = [&](const Layer& other) {
      const auto reads = std::count(other.inputs.begin(), other.inputs.end(), layer.output);
      return (other.op == "conv1x1" || reads == 0) &&
             (other.op == "depthwise_conv2d" || other.output != layer.inputs[0]);
    };
    require(std::all_of(layers_.begin(), layers_.end(), joins) && layer.inputs[0] != input_,
            "[quantize] squeeze_excite is not between a depthwise and a 1x1 convolution: only there it is "
            "computed in bytes");
    maker(layer.inputs[0]).is_summed = true;
  }
}

// Outputs are float32, and with them all that is only reshaped and joined into them.
void QuantizedNetwork::find_floats() {
  is_float_.resize(shapes_.size());
  last_reader_.resize(shapes_.size(), -1);
  for (const int output : outputs_) is_float_[size_t(output)] = 1, last_reader_[size_t(output)] = INT32_MAX;
  for (size_t i = layers_.size(); i-- > 0;) {
    const Layer& layer = layers_[i];
    for (const int input : layer.inputs)
      last_reader_[size_t(input)] = std::max(last_reader_[size_t(input)], int(i));
    if (!is_float_[size_t(layer.output)]) continue;
    const bool moves = layer.op == "reshape" || layer.op == "concat";
    require(moves || (layer.is_convolution() && layer.op != "depthwise_conv2d" &&
                      layer.activation == Activation::identity),
            "[quantize] an output comes from {}: it must come from a convolution without an activation",
            layer.op);
    if (moves)
      for (const int input : layer.inputs) is_float_[size_t(input)] = 1;
  }
}

Shape QuantizedNetwork::shape_of(int value, int64_t images) const {
  const auto sizes = shapes_[size_t(value)].sizes();
  std::vector<int64_t> result(sizes.begin(), sizes.end());
  result[0] = images;
  return Shape(result);
}

Tensor QuantizedNetwork::in_float(const Layer& layer, const Tensors& values) const {
  const auto in = [&](size_t i) { return values[size_t(layer.inputs[i])]; };
  Tensors all;
  for (size_t i = 0; i < layer.inputs.size(); ++i) all.push_back(in(i));
  const Shape shape = shape_of(layer.output, all[0].size(0));
  if (layer.op == "conv2d") return conv2d(in(0), layer.weight, layer.bias, layer.window);
  if (layer.op == "conv1x1") return conv1x1(in(0), layer.weight, layer.bias);
  if (layer.op == "depthwise_conv2d") return depthwise_conv2d(in(0), layer.weight, layer.window) + layer.bias;
  const Tensors& p = layer.parameters;
  if (layer.op == "squeeze_excite") return squeeze_excite(in(0), p[0], p[1], p[2], p[3]);
  if (layer.op == "bifpn_node")
    return bifpn_node(all, p.empty() ? Tensor() : p[0], layer.fusion, shape[1], shape[2],
                      Activation::identity, layer.padding);
  if (layer.op == "max_pool2d") return max_pool2d(in(0), layer.window);
  if (layer.op == "add") return in(0) + in(1);
  if (layer.op == "reshape") return reshape(in(0), shape);
  return layer.op == "concat" ? concat(all, layer.axis) : in(0);
}

void QuantizedNetwork::calibrate(const Tensor& image) {
  require(!ready_, "[quantize] the network is quantised: calibrate before");
  require(image.shape() == shapes_[size_t(input_)], "[quantize] an image to calibrate on is {}: give {}",
          image.shape(), shapes_[size_t(input_)]);
  const NoGrad no_grad;
  sums_.resize((layers_.size() + 1) * 4);
  const auto note = [&](size_t row, size_t column, const Tensor& tensor) {
    const auto numbers = tensor.span<float>();
    const auto [low, high] = std::minmax_element(numbers.begin(), numbers.end());
    sums_[row * 4 + column] += double(*low);
    sums_[row * 4 + column + 1] += double(*high);
  };
  Tensors values(shapes_.size());
  values[size_t(input_)] = image;
  note(0, 2, image);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    const Tensor before = in_float(layer, values), after = activate(before, layer.activation);
    note(i + 1, 0, before), note(i + 1, 2, after);
    values[size_t(layer.output)] = after;
    for (const int input : layer.inputs)
      if (last_reader_[size_t(input)] == int(i)) values[size_t(input)] = {};
  }
  ++calibrated_;
}

void QuantizedNetwork::expect_tensors() {
  ranges_ = zeros({int64_t(layers_.size()) + 1, 4});
  for (Layer& layer : layers_)
    if (layer.is_convolution()) {
      layer.bytes = empty(layer.weight.shape(), DType::uint8);
      layer.scales = empty(layer.bias.shape());
    }
}

void QuantizedNetwork::quantize() {
  require(calibrated_ > 0, "[quantize] give at least one image to calibrate on");
  expect_tensors();
  for (size_t i = 0; i < sums_.size(); ++i) ranges_.data<float>()[i] = float(sums_[i] / double(calibrated_));
  find_scales();
  for (const Layer& layer : layers_) {
    if (!layer.is_convolution()) continue;
    const float in_scale = scales_[size_t(layer.inputs[0])].scale;
    const int64_t channels = layer.bias.numel();
    const auto weights = layer.weight.span<float>();
    const auto bytes = layer.bytes.span<uint8_t>();
    for (int64_t c = 0; c < channels; ++c) {
      // Where weights are tiny, of a scale with which the bias is still a sum of 32 bits.
      float largest = std::max(1e-12f, std::abs(layer.bias.data<float>()[c]) / in_scale / most_bias * 127);
      for (size_t i = size_t(c); i < weights.size(); i += size_t(channels))
        largest = std::max(largest, std::abs(weights[i]));
      layer.scales.data<float>()[c] = largest / 127;
      for (size_t i = size_t(c); i < weights.size(); i += size_t(channels))
        bytes[i] = uint8_t(128 + std::clamp(std::lround(weights[i] / largest * 127), -127L, 127L));
    }
  }
  prepare();
}

std::vector<NamedTensor> QuantizedNetwork::tensors() const {
  std::vector<NamedTensor> result{{"ranges", ranges_}};
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    const auto add = [&](const std::string& part, const Tensor& tensor) {
      result.push_back({fmt::format("layers.{}.{}.{}", i, layer.op, part), tensor});
    };
    if (layer.is_convolution())
      add("weight", layer.bytes), add("scale", layer.scales), add("bias", layer.bias);
    for (size_t p = 0; p < layer.parameters.size(); ++p)
      add(fmt::format("parameter.{}", p), layer.parameters[p]);
  }
  return result;
}

ByteScale QuantizedNetwork::range(size_t row, int64_t column) const {
  const float* low_and_high = ranges_.data<float>() + row * 4 + column;
  return ByteScale::of_range(low_and_high[0], low_and_high[1]);
}

ByteScale QuantizedNetwork::before_activation(const Layer& layer) const {
  if (layer.op == "activation") return scales_[size_t(layer.inputs[0])];
  const auto row = size_t(&layer - layers_.data()) + 1;
  return range(row, layer.activation == Activation::identity ? 2 : 0);
}

void QuantizedNetwork::find_scales() {
  scales_.assign(shapes_.size(), {});
  scales_[size_t(input_)] = range(0, 2);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    scales_[size_t(layer.output)] =
        layer.op == "max_pool2d" ? scales_[size_t(layer.inputs[0])] : range(i + 1, 2);
  }
}

void QuantizedNetwork::prepare() {
  for (const NamedTensor& t : tensors())
    require(t.tensor.dtype() == DType::uint8 || all_finite(t.tensor),
            "[quantize] {} has numbers that are not finite", t.name);
  find_scales();
  for (Layer& layer : layers_) {
    const ByteScale in = scales_[size_t(layer.inputs[0])], before = before_activation(layer);
    ByteOutput out{.zero = before.zero};
    if (layer.activation != Activation::identity)
      out.table = table_of(layer.activation, before, scales_[size_t(layer.output)]);
    layer.table = out.table;
    if (!layer.is_convolution()) continue;
    const int64_t channels = layer.bias.numel();
    for (int64_t c = 0; c < channels; ++c) {
      const float scale = in.scale * layer.scales.data<float>()[c];
      out.factor.push_back(is_float_[size_t(layer.output)] ? scale : scale / before.scale);
      out.bias.push_back(bias_in_sums(layer.bias.data<float>()[c], scale));
    }
    std::vector<int8_t> weights;
    for (const uint8_t byte : layer.bytes.span<uint8_t>()) weights.push_back(int8_t(int(byte) - 128));
    if (layer.op == "depthwise_conv2d")
      layer.depthwise = ByteDepthwise(weights, channels, layer.window, in.zero, out);
    else
      layer.conv = ByteConv2d(weights, layer.weight.size(-2), channels, layer.window, in.zero, out);
  }
  ready_ = true;
}

RecordedNetwork QuantizedNetwork::recorded() const {
  require_ready();
  RecordedNetwork network{{}, input_, {}, tensors()};
  RecordedGraph& graph = network.graph;
  for (const Shape& shape : shapes_) graph.values.push_back({shape, DType::float32, {}});
  const auto constant = [&](const Tensor& tensor) {
    graph.values.push_back({tensor.shape(), tensor.dtype(), tensor});
    return int(graph.values.size()) - 1;
  };
  const auto add = [&](const std::string& op, const Attributes& attributes, const std::vector<int>& inputs,
                       const Shape& shape) {
    graph.values.push_back({shape, DType::float32, {}});
    graph.ops.push_back({op, attributes, inputs, int(graph.values.size()) - 1});
    return graph.ops.back().output;
  };
  const auto rounded = [&](int value, const ByteScale& scale) {
    const Attributes attributes{{"scale", double(scale.scale)}, {"zero", int64_t(scale.zero)}};
    return add("quantize", attributes, {value}, Shape(graph.values[size_t(value)].shape));
  };
  std::vector<int> places(shapes_.size(), no_value);  // of the values, rounded, in the graph
  places[size_t(input_)] = rounded(input_, scales_[size_t(input_)]);
  for (const Layer& layer : layers_) {
    const Shape& shape = shapes_[size_t(layer.output)];
    std::vector<int> inputs;
    for (const int input : layer.inputs) inputs.push_back(places[size_t(input)]);
    if (layer.is_convolution()) {
      const int bytes = constant(layer.bytes), scales = constant(layer.scales);
      inputs.push_back(add("dequantize", {}, {bytes, scales}, layer.bytes.shape()));
      inputs.push_back(constant(layer.bias));
    }
    for (const Tensor& parameter : layer.parameters) inputs.push_back(constant(parameter));
    if (layer.op == "bifpn_node" && layer.parameters.empty()) inputs.push_back(no_value);
    Attributes attributes = layer.attributes;
    attributes["activation"] = std::string(name(Activation::identity));
    const bool is_op = layer.op != "activation", activates = layer.activation != Activation::identity;
    int value = is_op ? add(layer.op, attributes, inputs, shape) : inputs[0];
    if (is_op && activates) value = rounded(value, before_activation(layer));
    if (activates) value = add(name(layer.activation), {}, {value}, shape);
    const bool is_float = is_float_[size_t(layer.output)];
    places[size_t(layer.output)] = is_float ? value : rounded(value, scales_[size_t(layer.output)]);
  }
  for (const int output : outputs_) network.outputs.push_back(places[size_t(output)]);
  return network;
}

void QuantizedNetwork::require_ready() const {
  require(ready_, "[quantize] the network is not quantised yet: calibrate it on images");
}

}  // namespace fovea
