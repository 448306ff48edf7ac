// QuantizedNetwork::outputs(): the layers in bytes.
#include <algorithm>

#include "core/autograd.h"
#include "core/error.h"
#include "core/parallel.h"
#include "models/quantization/quantized_network.h"

namespace fovea {
namespace {

// Bytes that a thread computes one by one, below which it is not worth starting.
constexpr int64_t least_bytes = 1 << 15;

// activation(x w + b) of one image; w: (inputs, outputs).
std::vector<float> dense(std::span<const float> x, const Tensor& w, const Tensor& b, Activation activation) {
  const auto bias = b.span<float>();
  std::vector<float> y(bias.begin(), bias.end());
  for (size_t i = 0; i < x.size(); ++i) {
    const float* row = w.data<float>() + i * y.size();
    for (size_t o = 0; o < y.size(); ++o) y[o] += x[i] * row[o];
  }
  with_activation(activation, [&]<class F>() {
    for (float& number : y) number = F::forward(number);
  });
  return y;
}

}  // namespace

Tensor QuantizedNetwork::fused(const Layer& layer, const Values& values, int64_t images) const {
  const Shape shape = shape_of(layer.output, images);
  const int64_t height = shape[1], width = shape[2], channels = shape[3], row = width * channels;
  const std::vector<double> weights = layer.parameters.empty()
                                          ? std::vector<double>(layer.inputs.size(), 1)
                                          : fusion_weights(layer.parameters[0], layer.fusion);
  const ByteScale before = before_activation(layer);
  std::vector<float> factors;
  std::vector<int> zeros;
  Tensors inputs;
  for (size_t i = 0; i < layer.inputs.size(); ++i) {
    const ByteScale& in = scales_[size_t(layer.inputs[i])];
    factors.push_back(float(weights[i]) * in.scale / before.scale);
    zeros.push_back(in.zero);
    inputs.push_back(values.tensors[size_t(layer.inputs[i])]);
  }
  const Tensor y(shape, DType::uint8);
  parallel_for(images * height, least_bytes / row + 1, [&](int64_t begin, int64_t end) {
    std::vector<uint8_t> room(inputs.size() * size_t(row));  // a row of each input at the output's size
    std::vector<const uint8_t*> rows(inputs.size());
    for (int64_t r = begin; r < end; ++r) {
      for (size_t i = 0; i < inputs.size(); ++i) {
        const int64_t h = inputs[i].size(1), w = inputs[i].size(2);
        const uint8_t* from = inputs[i].data<uint8_t>() + r / height * h * w * channels;
        uint8_t* to = room.data() + i * size_t(row);
        rows[i] = to;
        if (h > height || w > width) {
          const ResampleDims dims{Resample::pool, h, w, height, width, channels, layer.padding};
          byte_max_pool_row(from, h, w, channels, dims.vertical(), dims.horizontal(), r % height, to);
          continue;
        }
        from += ResampleDims::source(r % height, h, height) * w * channels;
        if (w == width) rows[i] = from;
        for (int64_t j = 0; j < width && w != width; ++j)
          std::copy_n(from + ResampleDims::source(j, w, width) * channels, channels, to + j * channels);
      }
      uint8_t* to = y.data<uint8_t>() + r * row;
      weighted_sum(rows, zeros, factors, before.zero, row, to);
      if (!layer.table.empty()) look_up(layer.table, to, row);
    }
  });
  return y;
}

std::vector<ByteGate> QuantizedNetwork::gates_of(const Layer& layer, const Values& values,
                                                 int64_t images) const {
  const Tensor& x = values.tensors[size_t(layer.inputs[0])];
  const ByteScale &in = scales_[size_t(layer.inputs[0])], &out = scales_[size_t(layer.output)];
  const auto channels = size_t(x.size(3));
  const int64_t pixels = x.size(1) * x.size(2);
  const Tensors& p = layer.parameters;
  std::vector<ByteGate> gates;
  for (size_t n = 0; n < size_t(images); ++n) {
    std::vector<float> means;
    for (size_t c = 0; c < channels; ++c) {
      const int32_t sum = values.sums[size_t(layer.inputs[0])][n * channels + c];
      means.push_back(in.scale * (float(double(sum) / double(pixels)) - float(in.zero)));
    }
    const std::vector<float> hidden = dense(means, p[0], p[1], Activation::swish);
    std::vector<float> factors = dense(hidden, p[2], p[3], Activation::sigmoid);
    for (float& factor : factors) factor *= in.scale / out.scale;
    gates.emplace_back(factors, in.zero, out.zero);
  }
  return gates;
}

void QuantizedNetwork::compute(const Layer& layer, Values& values, int64_t images) const {
  const auto from = size_t(layer.inputs[0]), to = size_t(layer.output);
  const Tensor& x = values.tensors[from];
  Tensor& y = values.tensors[to];
  if (layer.op == "reshape" || layer.op == "concat") {
    y = in_float(layer, values.tensors);
    return;
  }
  if (layer.op == "squeeze_excite") {  // its reader applies the gates
    values.gates[to] = gates_of(layer, values, images);
    y = x;
    return;
  }
  if (layer.op == "bifpn_node" || layer.op == "add") {
    y = fused(layer, values, images);
    return;
  }
  const int64_t height = x.size(1), width = x.size(2), channels = x.size(3);
  y = Tensor(shape_of(layer.output, images), is_float_[to] ? DType::float32 : DType::uint8);
  if (layer.op == "activation") {
    std::copy_n(x.data<uint8_t>(), x.numel(), y.data<uint8_t>());
    look_up(layer.table, y.data<uint8_t>(), y.numel());
  } else if (layer.op == "max_pool2d") {
    const int64_t row = y.size(2) * channels;
    for (int64_t i = 0; i < images * y.size(1); ++i)
      byte_max_pool_row(x.data<uint8_t>() + i / y.size(1) * height * width * channels, height, width,
                        channels, layer.window, layer.window, i % y.size(1), y.data<uint8_t>() + i * row);
  } else if (layer.op == "depthwise_conv2d") {
    if (layer.is_summed) values.sums[to].resize(size_t(images * channels));
    layer.depthwise(x.data<uint8_t>(), images, height, width, y.data<uint8_t>(),
                    layer.is_summed ? values.sums[to].data() : nullptr);
  } else if (is_float_[to]) {
    layer.conv(x.data<uint8_t>(), images, height, width, values.gates[from], y.data<float>());
  } else {
    layer.conv(x.data<uint8_t>(), images, height, width, values.gates[from], y.data<uint8_t>());
  }
}

Tensors QuantizedNetwork::outputs(const Tensor& images) const {
  require_ready();
  require(images.shape() == shape_of(input_, images.size(0)) && images.device() == Device::cpu,
          "[quantize] the images are {}: this network was quantised for Nx{}x{}x3 on the CPU", images.shape(),
          shapes_[size_t(input_)][1], shapes_[size_t(input_)][2]);
  require_no_gradient("quantize", "the images", images);
  const NoGrad no_grad;
  Values values{Tensors(shapes_.size()), {}, {}};
  values.sums.resize(shapes_.size()), values.gates.resize(shapes_.size());
  const Tensor bytes(images.shape(), DType::uint8);
  const ByteScale in = scales_[size_t(input_)];
  parallel_for(images.numel(), least_bytes, [&](int64_t begin, int64_t end) {
    to_bytes(images.data<float>() + begin, end - begin, 1 / in.scale, in.zero, bytes.data<uint8_t>() + begin);
  });
  values.tensors[size_t(input_)] = bytes;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    compute(layer, values, images.size(0));
    for (const int input : layer.inputs)
      if (last_reader_[size_t(input)] == int(i)) values.tensors[size_t(input)] = {};
  }
  Tensors result;
  for (const int output : outputs_) result.push_back(values.tensors[size_t(output)]);
  return result;
}

}  // namespace fovea
