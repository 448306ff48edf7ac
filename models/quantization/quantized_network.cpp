#include "models/quantization/quantized_network.h"

#include <algorithm>
#include <cmath>

#include "core/autograd.h"
#include "core/error.h"
#include "core/parallel.h"
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
  for (const Layer& layer : layers_) {
    if (!layer.is_convolution()) continue;
    const int64_t channels = layer.bias.numel();
    const auto weights = layer.weight.span<float>();
    const auto bytes = layer.bytes.span<uint8_t>();
    for (int64_t c = 0; c < channels; ++c) {
      float largest = 1e-12f;
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

void QuantizedNetwork::prepare() {
  for (const NamedTensor& t : tensors())
    require(t.tensor.dtype() == DType::uint8 || all_finite(t.tensor),
            "[quantize] {} has numbers that are not finite", t.name);
  scales_.assign(shapes_.size(), {});
  scales_[size_t(input_)] = range(0, 2);
  for (size_t i = 0; i < layers_.size(); ++i) {
    Layer& layer = layers_[i];
    const ByteScale &in = scales_[size_t(layer.inputs[0])], after = range(i + 1, 2);
    ByteScale& out = scales_[size_t(layer.output)];
    const bool activates = layer.activation != Activation::identity;
    const ByteScale before = layer.op == "activation" ? in : activates ? range(i + 1, 0) : after;
    out = layer.op == "max_pool2d" ? in : after;
    layer.out = {};
    if (activates) layer.out.table = table_of(layer.activation, before, out);
    if (!layer.is_convolution()) continue;
    const bool to_float = is_float_[size_t(layer.output)];
    const int64_t channels = layer.bias.numel();
    for (int64_t c = 0; c < channels; ++c) {
      const float factor = in.scale * layer.scales.data<float>()[c], term = layer.bias.data<float>()[c];
      layer.out.factor.push_back(to_float ? factor : factor / before.scale);
      layer.out.term.push_back(to_float ? term : term / before.scale + float(before.zero) + 0.5f);
    }
    std::vector<int8_t> weights;
    for (const uint8_t byte : layer.bytes.span<uint8_t>()) weights.push_back(int8_t(int(byte) - 128));
    if (layer.op == "depthwise_conv2d")
      layer.depthwise = ByteDepthwise(weights, channels, layer.window, in.zero);
    else
      layer.product = ByteProduct(weights, layer.weight.numel() / channels, channels, in.zero);
  }
  ready_ = true;
}

Tensor QuantizedNetwork::fused(const Layer& layer, const Tensors& values, int64_t images) const {
  const Shape shape = shape_of(layer.output, images);
  const int64_t height = shape[1], width = shape[2], channels = shape[3];
  const std::vector<double> weights = layer.parameters.empty()
                                          ? std::vector<double>(layer.inputs.size(), 1)
                                          : fusion_weights(layer.parameters[0], layer.fusion);
  const auto row = size_t(&layer - layers_.data()) + 1;
  const ByteScale before = range(row, layer.activation == Activation::identity ? 2 : 0);
  std::vector<float> factors;
  float term = float(before.zero) + 0.5f;
  Tensors inputs;
  for (size_t i = 0; i < layer.inputs.size(); ++i) {
    const ByteScale& in = scales_[size_t(layer.inputs[i])];
    factors.push_back(float(weights[i]) * in.scale / before.scale);
    term -= factors.back() * float(in.zero);
    Tensor x = values[size_t(layer.inputs[i])];
    if (x.size(1) > height || x.size(2) > width) {
      const ResampleDims dims{Resample::pool, x.size(1), x.size(2), height, width, channels, layer.padding};
      const Tensor pooled(shape, DType::uint8);
      byte_max_pool(x.data<uint8_t>(), images, x.size(1), x.size(2), channels, dims.vertical(),
                    dims.horizontal(), pooled.data<uint8_t>());
      x = pooled;
    }
    inputs.push_back(x);
  }
  struct Source {
    const uint8_t* bytes;
    int64_t height, width;
  };
  std::vector<Source> sources;
  for (const Tensor& x : inputs) sources.push_back({x.data<uint8_t>(), x.size(1), x.size(2)});
  const Tensor y(shape, DType::uint8);
  parallel_for(images * height, 1, [&](int64_t begin, int64_t end) {
    std::vector<const uint8_t*> pixels(sources.size());
    for (int64_t r = begin; r < end; ++r) {
      uint8_t* to = y.data<uint8_t>() + r * width * channels;
      for (int64_t j = 0; j < width; ++j) {
        for (size_t i = 0; i < sources.size(); ++i) {
          const auto& [bytes, h, w] = sources[i];
          const int64_t from = ResampleDims::source(r % height, h, height),
                        at = ResampleDims::source(j, w, width);
          pixels[i] = bytes + ((r / height * h + from) * w + at) * channels;
        }
        weighted_sum(pixels, factors, term, channels, to + j * channels);
      }
      if (!layer.out.table.empty()) look_up(layer.out.table, to, width * channels);
    }
  });
  return y;
}

Tensor QuantizedNetwork::excited(const Layer& layer, const Tensors& values, int64_t images) const {
  const Tensor& x = values[size_t(layer.inputs[0])];
  const ByteScale &in = scales_[size_t(layer.inputs[0])], &out = scales_[size_t(layer.output)];
  const int64_t channels = x.size(3), pixels = x.size(1) * x.size(2);
  constexpr int64_t chunk = 256;  // pixels
  const int64_t chunks = chunk_count(pixels, chunk);
  std::vector<int32_t> sums(size_t(images * chunks * channels));
  parallel_for(images * chunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      int32_t* sum = sums.data() + i * channels;
      const int64_t first = i % chunks * chunk, last = std::min(pixels, first + chunk);
      for (int64_t p = first; p < last; ++p) {
        const uint8_t* from = x.data<uint8_t>() + (i / chunks * pixels + p) * channels;
        for (int64_t c = 0; c < channels; ++c) sum[c] += from[c];
      }
    }
  });
  const Tensor means({images, channels});
  for (int64_t i = 0; i < images * channels; ++i) {
    int64_t sum = 0;
    for (int64_t q = 0; q < chunks; ++q)
      sum += sums[size_t((i / channels * chunks + q) * channels + i % channels)];
    means.data<float>()[i] = in.scale * (float(double(sum) / double(pixels)) - float(in.zero));
  }
  const Tensors& p = layer.parameters;
  const Tensor factors = sigmoid(linear(swish(linear(means, p[0], p[1])), p[2], p[3])),
               terms = empty_like(factors);
  for (int64_t i = 0; i < images * channels; ++i) {
    float& factor = factors.data<float>()[i];
    factor *= in.scale / out.scale;
    terms.data<float>()[i] = float(out.zero) + 0.5f - factor * float(in.zero);
  }
  const Tensor y(x.shape(), DType::uint8);
  parallel_for(images * chunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t n = i / chunks, first = i % chunks * chunk, at = (n * pixels + first) * channels;
      scale_channels(x.data<uint8_t>() + at, std::min(chunk, pixels - first), channels,
                     factors.data<float>() + n * channels, terms.data<float>() + n * channels,
                     y.data<uint8_t>() + at);
    }
  });
  return y;
}

Tensor QuantizedNetwork::in_bytes(const Layer& layer, const Tensors& values, int64_t images) const {
  if (layer.op == "reshape" || layer.op == "concat") return in_float(layer, values);
  if (layer.op == "squeeze_excite") return excited(layer, values, images);
  if (layer.op == "bifpn_node" || layer.op == "add") return fused(layer, values, images);
  const Tensor& x = values[size_t(layer.inputs[0])];
  const int64_t height = x.size(1), width = x.size(2), channels = x.size(3);
  const Shape shape = shape_of(layer.output, images);
  const bool to_float = is_float_[size_t(layer.output)];
  const Tensor y(shape, to_float ? DType::float32 : DType::uint8);
  if (layer.op == "activation") {
    std::copy_n(x.data<uint8_t>(), x.numel(), y.data<uint8_t>());
    look_up(layer.out.table, y.data<uint8_t>(), y.numel());
  } else if (layer.op == "max_pool2d") {
    byte_max_pool(x.data<uint8_t>(), images, height, width, channels, layer.window, layer.window,
                  y.data<uint8_t>());
  } else if (layer.op == "depthwise_conv2d") {
    layer.depthwise(x.data<uint8_t>(), images, height, width, layer.out, y.data<uint8_t>());
  } else {
    const int64_t rows = y.numel() / shape[-1], row_bytes = layer.product.row_bytes();
    Tensor windows = x;
    if (layer.window.kernel > 1 || layer.window.stride > 1 || row_bytes != channels) {
      windows = Tensor({rows, row_bytes}, DType::uint8);
      byte_windows(x.data<uint8_t>(), images, height, width, channels, layer.window,
                   scales_[size_t(layer.inputs[0])].zero, row_bytes, windows.data<uint8_t>());
    }
    if (to_float)
      layer.product(windows.data<uint8_t>(), rows, layer.out, y.data<float>());
    else
      layer.product(windows.data<uint8_t>(), rows, layer.out, y.data<uint8_t>());
  }
  return y;
}

Tensors QuantizedNetwork::outputs(const Tensor& images) const {
  require(ready_, "[quantize] the network is not quantised yet: calibrate it on images");
  require(images.shape() == shape_of(input_, images.size(0)) && images.device() == Device::cpu,
          "[quantize] the images are {}: this network was quantised for Nx{}x{}x3 on the CPU", images.shape(),
          shapes_[size_t(input_)][1], shapes_[size_t(input_)][2]);
  require_no_gradient("quantize", "the images", images);
  const NoGrad no_grad;
  Tensors values(shapes_.size());
  const Tensor bytes(images.shape(), DType::uint8);
  const ByteScale in = scales_[size_t(input_)];
  parallel_for(images.numel(), 4096, [&](int64_t begin, int64_t end) {
    const float *from = images.data<float>(), factor = 1 / in.scale, term = float(in.zero) + 0.5f;
    uint8_t* to = bytes.data<uint8_t>();
    for (int64_t i = begin; i < end; ++i)
      to[i] = uint8_t(std::min(std::max(0.f, from[i] * factor + term), 255.f));
  });
  values[size_t(input_)] = bytes;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    values[size_t(layer.output)] = in_bytes(layer, values, images.size(0));
    for (const int input : layer.inputs)
      if (last_reader_[size_t(input)] == int(i)) values[size_t(input)] = {};
  }
  Tensors result;
  for (const int output : outputs_) result.push_back(values[size_t(output)]);
  return result;
}

}  // namespace fovea
