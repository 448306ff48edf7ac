#include "models/onnx/ops.h"

#include <algorithm>
#include <cmath>

#include "cuda/kernels/activation.h"
#include "models/weights.h"
#include "ops/arithmetic.h"
#include "ops/bifpn_node.h"
#include "ops/shape_ops.h"
#include "ops/support/attributes.h"

namespace fovea {
namespace {

// The position of one of our axes in ONNX's layout.
int64_t onnx_axis(const Shape& shape, int64_t axis) {
  constexpr int64_t of_images[] = {0, 2, 3, 1};
  return shape.rank() == 4 ? of_images[axis] : axis;
}

Padding padding_of(const RecordedOp& op) { return parse_padding(op.attribute<std::string>("padding")); }

Window window_of(const RecordedOp& op) {
  return {int(op.attribute<int64_t>("kernel")), int(op.attribute<int64_t>("stride")), padding_of(op)};
}

OnnxAttributes window_attributes(const Window& down, const Window& across, int64_t height, int64_t width) {
  return {{"kernel_shape", std::vector<int64_t>{down.kernel, across.kernel}},
          {"strides", std::vector<int64_t>{down.stride, across.stride}},
          {"pads", std::vector<int64_t>{down.pad_before(height), across.pad_before(width),
                                        down.pad_after(height), across.pad_after(width)}}};
}

std::vector<float> numbers_of(const Tensor& tensor) {
  const auto span = tensor.span<float>();
  return {span.begin(), span.end()};
}

std::string parent_of(const std::string& name) {
  const size_t dot = name.rfind('.');
  return dot == std::string::npos ? "" : name.substr(0, dot);
}

bool is_convolution(const RecordedOp& op) {
  return op.name == "conv2d" || op.name == "conv1x1" || op.name == "depthwise_conv2d";
}

}  // namespace

struct OnnxTranslation::Kernel {
  std::string name, bias_name;
  Shape shape;  // (out, in / groups, k, k)
  std::vector<float> numbers, bias;
  int64_t groups = 1;
  Window window;
  bool folded = false;
  std::vector<float> scales;  // of the output channels, where the numbers are those of bytes

  // Folds the batch norm after the convolution, with its running averages, into it.
  void fold(const Tensor& weight, const Tensor& shift, const Tensor& mean, const Tensor& variance,
            double epsilon) {
    folded = true;
    const int64_t out = shape[0], size = shape.numel() / out;
    bias.resize(size_t(out));
    for (int64_t o = 0; o < out; ++o) {
      const double scale = weight.data<float>()[o] / std::sqrt(double(variance.data<float>()[o]) + epsilon);
      for (int64_t i = 0; i < size; ++i) {
        float& w = numbers[size_t(o * size + i)];
        w = float(w * scale);
      }
      float& b = bias[size_t(o)];
      b = float((double(b) - mean.data<float>()[o]) * scale + shift.data<float>()[o]);
    }
  }
};

OnnxTranslation::OnnxTranslation(const RecordedGraph& recorded, const std::vector<NamedTensor>& weights,
                                 OnnxGraph& onnx)
    : recorded_(recorded),
      weights_(weights),
      onnx_(onnx),
      names_(recorded.values.size()),
      readers_(recorded.values.size()),
      makers_(recorded.values.size()) {
  for (const RecordedOp& op : recorded.ops) {
    makers_[size_t(op.output)] = &op;
    for (int input : op.inputs)
      if (input != no_value) ++readers_[size_t(input)];
  }
}

OnnxTranslation::Translate OnnxTranslation::translation_of(const std::string& op) {
  using T = OnnxTranslation;
  static const std::map<std::string, Translate> translations = {
      {"conv2d", &T::convolution},
      {"depthwise_conv2d", &T::convolution},
      {"conv1x1", &T::convolution},
      {"linear", &T::linear},
      {"matmul", &T::linear},
      {"batch_norm", &T::batch_norm},
      {"add", &T::arithmetic},
      {"subtract", &T::arithmetic},
      {"multiply", &T::arithmetic},
      {"divide", &T::arithmetic},
      {"global_average_pool", &T::global_average_pool},
      {"squeeze_excite", &T::squeeze_excite},
      {"bifpn_node", &T::bifpn_node},
      {"max_pool2d", &T::max_pool2d},
      {"upsample_nearest", &T::resample},
      {"reshape", &T::reshape},
      {"concat", &T::concat},
      {"quantize", &T::quantize},
      {"slice", &T::slice}};
  for (const Activation activation : all_activations)
    if (op == fovea::name(activation)) return &T::activation;
  const auto found = translations.find(op);
  require(
      found != translations.end(),
      "[onnx] {} has no translation to ONNX: networks in evaluation mode, of the ops that EfficientNet and "
      "EfficientDet are made of, can be exported",
      op);
  return found->second;
}

void OnnxTranslation::run(const std::vector<int>& outputs) {
  for (int output : outputs) ++readers_[size_t(output)];
  for (const RecordedOp& op : recorded_.ops) {
    const DType dtype = recorded_.values[size_t(op.output)].dtype;
    require(dtype == DType::float32, "[onnx] {} was computed in {}: run the network in float32", op.name,
            dtype);
    if (op.name == "dequantize") continue;  // goes into its convolution
    const Translate translate = translation_of(op.name);
    if (goes_into_norm(op)) continue;
    set_scope(op);
    names_[size_t(op.output)] = (this->*translate)(op);
  }
}

const std::string& OnnxTranslation::name(int value) const {
  const std::string& name = names_[size_t(value)];
  require(!name.empty(),
          "[onnx] a tensor of {} is read where only a tensor computed from the input is possible: it is a "
          "constant that no op recorded, or was copied",
          shape(value));
  return name;
}

const Tensor& OnnxTranslation::constant(const RecordedOp& op, size_t input) const {
  const int value = op.inputs[input];
  const Tensor& tensor = recorded_.values[size_t(value)].constant;
  require(
      tensor.defined() && tensor.dtype() == DType::float32 && tensor.device() == Device::cpu,
      "[onnx] input {} of {} is {}: it must be a float32 weight on the CPU", input, op.name,
      tensor.defined() ? fmt::format("{} on {}", tensor.dtype(), fovea::name(tensor.device())) : "computed");
  return tensor;
}

std::string OnnxTranslation::weight_name(int value) const {
  const Tensor& tensor = recorded_.values[size_t(value)].constant;
  for (const NamedTensor& weight : weights_)
    if (tensor.defined() && weight.tensor.raw() == tensor.raw()) return weight.name;
  return "constant";
}

// The part of the network that the op's first weight belongs to.
void OnnxTranslation::set_scope(const RecordedOp& op) {
  for (size_t i = 1; i < op.inputs.size(); ++i)
    if (op.inputs[i] != no_value && recorded_.values[size_t(op.inputs[i])].constant.defined())
      return onnx_.set_scope(parent_of(weight_name(op.inputs[i])));
}

bool OnnxTranslation::goes_into_norm(const RecordedOp& convolution) const {
  if (!is_convolution(convolution) || readers_[size_t(convolution.output)] != 1) return false;
  return std::any_of(recorded_.ops.begin(), recorded_.ops.end(), [&](const RecordedOp& op) {
    return op.name == "batch_norm" && op.inputs[0] == convolution.output;
  });
}

OnnxTranslation::Kernel OnnxTranslation::kernel_of(const RecordedOp& op) const {
  const bool pointwise = op.name == "conv1x1", depthwise = op.name == "depthwise_conv2d";
  const RecordedOp* bytes = makers_[size_t(op.inputs[1])];
  const Tensor ours = bytes
                          ? cast(recorded_.values[size_t(bytes->inputs[0])].constant, DType::float32) - 128.0
                          : constant(op, 1);
  const Tensor weight = to_published(ours, pointwise   ? WeightLayout::pointwise
                                           : depthwise ? WeightLayout::depthwise
                                                       : WeightLayout::dense);
  Kernel kernel{weight_name(op.inputs[1]), {}, weight.shape(), numbers_of(weight), {}, 1, {1, 1}};
  if (bytes) {
    kernel.name = weight_name(bytes->inputs[0]);
    kernel.scales = numbers_of(constant(*bytes, 1));
  }
  if (depthwise) kernel.groups = weight.size(0);
  if (!pointwise) kernel.window = window_of(op);
  if (op.inputs.size() > 2 && op.inputs[2] != no_value) {
    kernel.bias = numbers_of(constant(op, 2));
    kernel.bias_name = weight_name(op.inputs[2]);
  }
  return kernel;
}

// The input, weight and bias of a convolution of bytes. A sum of products of bytes is a whole number of the
// two scales' product: so is the bias.
OnnxNames OnnxTranslation::dequantized(const RecordedOp& op, const Kernel& kernel) {
  const auto in_scale = float(makers_[size_t(op.inputs[0])]->attribute<double>("scale"));
  const std::vector<int64_t> channels{kernel.shape[0]};
  const auto made = [&](const std::string& base, const Shape& shape, const auto& bytes,
                        std::span<const float> scales) {
    const std::vector zeros(size_t(channels[0]), typename std::decay_t<decltype(bytes)>::value_type(0));
    return onnx_.add(
        "DequantizeLinear",
        {onnx_.constant(base, shape.sizes(), bytes), onnx_.constant(base + ".scale", channels, scales),
         onnx_.constant(base + ".zero", channels, zeros)},
        {{"axis", int64_t(0)}});
  };
  const std::vector<int8_t> weights(kernel.numbers.begin(), kernel.numbers.end());
  std::vector<int32_t> bias;
  std::vector<float> scales;
  for (size_t o = 0; o < kernel.scales.size(); ++o) {
    scales.push_back(in_scale * kernel.scales[o]);
    bias.push_back(bias_in_sums(kernel.bias[o], scales[o]));
  }
  return {name(op.inputs[0]), made(kernel.name, kernel.shape, weights, kernel.scales),
          made(kernel.bias_name, Shape(channels), bias, scales)};
}

// A weight that ops share is stored once.
std::string OnnxTranslation::stored(int value, const Shape& shape, std::span<const float> numbers) {
  std::string& name = stored_[value];
  if (name.empty()) name = onnx_.constant(weight_name(value), shape.sizes(), numbers);
  return name;
}

std::string OnnxTranslation::convolve(const RecordedOp& op, const Kernel& kernel) {
  const Shape &in = shape(op.inputs[0]), channels{kernel.shape[0]};
  OnnxNames inputs{name(op.inputs[0])};
  if (!kernel.scales.empty()) {
    inputs = dequantized(op, kernel);
  } else if (kernel.folded) {
    inputs.push_back(onnx_.constant(kernel.name, kernel.shape.sizes(), kernel.numbers));
    inputs.push_back(onnx_.constant(kernel.bias_name, channels.sizes(), kernel.bias));
  } else {
    inputs.push_back(stored(op.inputs[1], kernel.shape, kernel.numbers));
    if (!kernel.bias.empty()) inputs.push_back(stored(op.inputs[2], channels, kernel.bias));
  }
  OnnxAttributes attributes = window_attributes(kernel.window, kernel.window, in[1], in[2]);
  attributes["group"] = kernel.groups;
  return onnx_.add("Conv", inputs, attributes);
}

std::string OnnxTranslation::convolution(const RecordedOp& op) { return convolve(op, kernel_of(op)); }

std::string OnnxTranslation::linear(const RecordedOp& op) {
  require(shape(op.inputs[0]).rank() == 2, "[onnx] {} of {}: only that of a matrix (N, in) can be exported",
          op.name, shape(op.inputs[0]));
  const Tensor weight = to_published(constant(op, 1), WeightLayout::linear);
  OnnxNames inputs{name(op.inputs[0]), stored(op.inputs[1], weight.shape(), weight.span<float>())};
  if (op.inputs.size() > 2 && op.inputs[2] != no_value) {
    const Tensor& bias = constant(op, 2);
    inputs.push_back(stored(op.inputs[2], bias.shape(), bias.span<float>()));
  }
  return onnx_.add("Gemm", inputs, {{"transB", int64_t(1)}});
}

std::string OnnxTranslation::activated(const std::string& x, const std::string& activation) {
  if (activation == "relu") return onnx_.add("Relu", {x});
  if (activation == "relu6") return onnx_.add("Clip", {x, onnx_.scalar(0.0), onnx_.scalar(6.0)});
  if (activation == "sigmoid") return onnx_.add("Sigmoid", {x});
  if (activation == "swish") return onnx_.add("Mul", {x, onnx_.add("Sigmoid", {x})});
  require(activation == "identity", "[onnx] the activation {} has no translation to ONNX", activation);
  return x;
}

std::string OnnxTranslation::activation(const RecordedOp& op) {
  return activated(name(op.inputs[0]), op.name);
}

std::string OnnxTranslation::batch_norm(const RecordedOp& op) {
  require(op.attribute<int64_t>("training") == 0,
          "[onnx] a batch norm took its statistics from the batch: call set_training(false) on the network "
          "before");
  const double epsilon = op.attribute<double>("epsilon");
  const auto fold_into = [&](Kernel& kernel) {
    kernel.fold(constant(op, 1), constant(op, 2), constant(op, 3), constant(op, 4), epsilon);
    if (kernel.bias_name.empty()) kernel.bias_name = weight_name(op.inputs[2]);
  };
  const std::string& activation = op.attribute<std::string>("activation");
  if (const RecordedOp* before = makers_[size_t(op.inputs[0])]; before && goes_into_norm(*before)) {
    set_scope(*before);
    Kernel kernel = kernel_of(*before);
    fold_into(kernel);
    return activated(convolve(*before, kernel), activation);
  }
  // Without a convolution it is a factor and a term for each channel.
  const int64_t channels = shape(op.inputs[0])[-1];
  Kernel affine{.name = weight_name(op.inputs[1]),
                .shape = {channels},
                .numbers = std::vector<float>(size_t(channels), 1)};
  fold_into(affine);
  const std::vector<int64_t> sizes =
      shape(op.inputs[0]).rank() == 4 ? std::vector<int64_t>{channels, 1, 1} : std::vector<int64_t>{channels};
  const std::string scaled =
      onnx_.add("Mul", {name(op.inputs[0]), onnx_.constant(affine.name, sizes, affine.numbers)});
  return activated(onnx_.add("Add", {scaled, onnx_.constant(affine.bias_name, sizes, affine.bias)}),
                   activation);
}

std::string OnnxTranslation::arithmetic(const RecordedOp& op) {
  const std::string& x = name(op.inputs[0]);
  if (op.inputs.size() == 1 && op.name == "divide")
    return onnx_.add("Div", {onnx_.scalar(op.attribute<double>("numerator")), x});
  if (op.inputs.size() == 1) {  // with numbers
    const double factor = op.attribute<double>("factor"), term = op.attribute<double>("term");
    const std::string scaled = factor == 1 ? x : onnx_.add("Mul", {x, onnx_.scalar(factor)});
    return term == 0 ? scaled : onnx_.add("Add", {scaled, onnx_.scalar(term)});
  }
  for (int input : op.inputs)
    require(
        !recorded_.values[size_t(input)].constant.defined() && shape(input).rank() == shape(op.output).rank(),
        "[onnx] {} of {} and {}: only that of two computed tensors of the same rank can be exported", op.name,
        shape(op.inputs[0]), shape(op.inputs[1]));
  const char* type = op.name == "add"        ? "Add"
                     : op.name == "subtract" ? "Sub"
                     : op.name == "multiply" ? "Mul"
                                             : "Div";
  return onnx_.add(type, {x, name(op.inputs[1])});
}

std::string OnnxTranslation::global_average_pool(const RecordedOp& op) {
  return onnx_.add("Flatten", {onnx_.add("GlobalAveragePool", {name(op.inputs[0])})});
}

std::string OnnxTranslation::squeeze_excite(const RecordedOp& op) {
  const std::string& x = name(op.inputs[0]);
  // A 1x1 convolution with input `weight` of the op and the bias after it.
  const auto layer = [&](const std::string& in, size_t weight) {
    onnx_.set_scope(parent_of(weight_name(op.inputs[weight])));
    const Tensor w = to_published(constant(op, weight), WeightLayout::pointwise);
    const Tensor& b = constant(op, weight + 1);
    return onnx_.add("Conv",
                     {in, stored(op.inputs[weight], w.shape(), w.span<float>()),
                      stored(op.inputs[weight + 1], b.shape(), b.span<float>())},
                     window_attributes({1, 1}, {1, 1}, 1, 1));
  };
  const std::string hidden = activated(layer(onnx_.add("GlobalAveragePool", {x}), 1), "swish");
  return onnx_.add("Mul", {x, activated(layer(hidden, 3), "sigmoid")});
}

std::string OnnxTranslation::reshape(const RecordedOp& op) {
  const Shape &from = shape(op.inputs[0]), &to = shape(op.output);
  require(from.rank() > 0 && to.rank() > 0 && from[0] == to[0],
          "[onnx] a reshape of {} to {} mixes the images of a batch: keep the first size", from, to);
  const std::string& x = name(op.inputs[0]);
  const auto one_pixel = [](const Shape& s) { return s.rank() == 4 && s[1] == 1 && s[2] == 1; };
  const bool turn_before = from.rank() == 4 && !one_pixel(from),
             turn_after = to.rank() == 4 && !one_pixel(to);
  const std::string last =
      turn_before ? onnx_.add("Transpose", {x}, {{"perm", std::vector<int64_t>{0, 2, 3, 1}}}) : x;
  std::vector<int64_t> sizes{0};  // the batch, whatever it is
  for (int i = 1; i < to.rank(); ++i) sizes.push_back(to[i]);
  if (one_pixel(to)) sizes = {0, to[3], 1, 1};
  const std::string y = onnx_.add("Reshape", {last, onnx_.list(sizes)});
  return turn_after ? onnx_.add("Transpose", {y}, {{"perm", std::vector<int64_t>{0, 3, 1, 2}}}) : y;
}

std::string OnnxTranslation::concat(const RecordedOp& op) {
  OnnxNames inputs;
  for (int input : op.inputs) inputs.push_back(name(input));
  return onnx_.add("Concat", inputs, {{"axis", onnx_axis(shape(op.output), op.attribute<int64_t>("axis"))}});
}

std::string OnnxTranslation::slice(const RecordedOp& op) {
  const auto list = [&](int64_t number) { return onnx_.list(std::vector<int64_t>{number}); };
  return onnx_.add(
      "Slice", {name(op.inputs[0]), list(op.attribute<int64_t>("begin")), list(op.attribute<int64_t>("end")),
                list(onnx_axis(shape(op.output), op.attribute<int64_t>("axis")))});
}

// An input resampled to the size of the output: of a BiFPN node, or of an op that only resamples.
std::string OnnxTranslation::resampled(const RecordedOp& op, int input) {
  const Shape &in = shape(input), &out = shape(op.output);
  const std::string& x = name(input);
  if (in[1] == out[1] && in[2] == out[2]) return x;
  if (in[1] >= out[1] && in[2] >= out[2]) {
    const ResampleDims dims{Resample::pool, in[1], in[2], out[1], out[2], in[3], padding_of(op)};
    return onnx_.add("MaxPool", {x}, window_attributes(dims.vertical(), dims.horizontal(), in[1], in[2]));
  }
  if (out[1] % in[1] == 0 && out[2] % in[2] == 0) {
    const int64_t down = out[1] / in[1], right = out[2] / in[2];
    return onnx_.add(
        "Resize", {x, "", onnx_.list(std::vector<float>{1, 1, float(down), float(right)})},
        {{"mode", "nearest"}, {"coordinate_transformation_mode", "asymmetric"}, {"nearest_mode", "floor"}});
  }
  // Resize divides by a rounded ratio and may pick a neighbour of the right pixel, so rows and columns are
  // listed explicitly.
  const auto sources = [&](int64_t from, int64_t to) {
    std::vector<int64_t> indices;
    for (int64_t i = 0; i < to; ++i) indices.push_back(ResampleDims::source(i, from, to));
    return onnx_.list(indices);
  };
  const std::string rows = onnx_.add("Gather", {x, sources(in[1], out[1])}, {{"axis", int64_t(2)}});
  return onnx_.add("Gather", {rows, sources(in[2], out[2])}, {{"axis", int64_t(3)}});
}

std::string OnnxTranslation::quantize(const RecordedOp& op) {
  const std::string scale = onnx_.scalar(op.attribute<double>("scale")),
                    zero = onnx_.scalar(uint8_t(op.attribute<int64_t>("zero")));
  const std::string bytes = onnx_.add("QuantizeLinear", {name(op.inputs[0]), scale, zero});
  return onnx_.add("DequantizeLinear", {bytes, scale, zero});
}

std::string OnnxTranslation::resample(const RecordedOp& op) { return resampled(op, op.inputs[0]); }

std::string OnnxTranslation::max_pool2d(const RecordedOp& op) {
  const Shape& in = shape(op.inputs[0]);
  const Window window = window_of(op);
  return onnx_.add("MaxPool", {name(op.inputs[0])}, window_attributes(window, window, in[1], in[2]));
}

std::string OnnxTranslation::bifpn_node(const RecordedOp& op) {
  const std::string& fusion = op.attribute<std::string>("fusion");
  const size_t count = op.inputs.size() - 1;  // the weights come last
  std::vector<double> weights;
  if (fusion != "sum")
    weights =
        fusion_weights(constant(op, count), fusion == "softmax" ? Fusion::softmax : Fusion::fast_normalized);
  std::string sum;
  for (size_t i = 0; i < count; ++i) {
    std::string x = resampled(op, op.inputs[i]);
    if (!weights.empty()) {
      const float weight = float(weights[i]);
      x = onnx_.add("Mul", {x, onnx_.constant(weight_name(op.inputs[count]), {}, std::span(&weight, 1))});
    }
    sum = i == 0 ? x : onnx_.add("Add", {sum, x});
  }
  return activated(sum, op.attribute<std::string>("activation"));
}

}  // namespace fovea
