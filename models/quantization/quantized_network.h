#pragma once
#include <functional>
#include <string>
#include <vector>

#include "core/tensor.h"
#include "models/onnx/graph_recorder.h"
#include "models/quantization/byte_kernels.h"
#include "nn/module.h"
#include "ops/bifpn_node.h"

namespace fovea {

// A network in evaluation mode, computed on the CPU with bytes: activations uint8 with one scale and zero for
// each tensor, weights int8 with one scale for each output channel, sums in 32 bits (arXiv 1712.05877). Batch
// norms are part of the convolutions before them, activations are tables from byte to byte, and the factors
// of squeeze and excite are computed in float32. The same input gives the same bits on any number of threads.
//
// To make one: construct it, calibrate() on images, quantize(). To load one: construct it from a network of
// the same spec, whose weights do not matter, copy tensors() from a file, then prepare().
class QuantizedNetwork {
 public:
  using Forward = std::function<Tensors(const Tensor& images)>;
  // Records forward() on one image (1, height, width, 3), float32 on the CPU. Throws, naming the op, where it
  // is made of others than EfficientNets and EfficientDets are in evaluation mode.
  QuantizedNetwork(const Forward& forward, int height, int width);

  // Runs the network in float32 on one image (1, height, width, 3) and notes the smallest and largest number
  // of each tensor. Throws once the network is quantised.
  void calibrate(const Tensor& image);
  // Chooses the scales: a tensor's range is from the mean of its smallest numbers over the calibration images
  // to the mean of its largest. Throws before the first calibrate().
  void quantize();

  // What a file holds: the weights, their scales, and the ranges of the tensors. Defined after quantize(), or
  // after expect_tensors() to be copied into.
  std::vector<NamedTensor> tensors() const;
  void expect_tensors();
  // Makes the network ready from its tensors(). Throws Error naming a tensor with numbers that are none.
  void prepare();

  // The same network as a graph for export_onnx(): each op on numbers that are rounded as bytes round them.
  // Throws before quantize() or prepare().
  RecordedNetwork recorded() const;

  // forward()'s outputs for images (N, height, width, 3), float32 on the CPU. Throws before quantize() or
  // prepare(), on another size, and where the images require a gradient: bytes have none.
  Tensors outputs(const Tensor& images) const;

 private:
  struct Layer {
    std::string op;           // as recorded; "activation" for one that stands by itself
    std::vector<int> inputs;  // values
    int output = no_value;
    Attributes attributes;                         // of the op, as recorded
    Activation activation = Activation::identity;  // after the op
    Window window;
    Padding padding = Padding::same;  // of bifpn_node
    Fusion fusion = Fusion::sum;      // of bifpn_node
    int axis = 0;                     // of concat
    Tensor weight, bias;              // of a convolution, float32, in the op's layout
    Tensor bytes, scales;             // the weight as w / scale + 128, and a scale for each output channel
    Tensors parameters;               // of squeeze_excite and bifpn_node
    bool is_summed = false;           // a depthwise convolution before squeeze_excite
    ByteConv2d conv;
    ByteDepthwise depthwise;
    std::vector<uint8_t> table;  // of the activation

    bool is_convolution() const { return bias.defined(); }
  };

  // While outputs() runs, by value: what layers made; the sums of the channels, where squeeze_excite reads
  // it; and of what squeeze_excite made, the factors that are still to be applied.
  struct Values {
    Tensors tensors;
    std::vector<std::vector<int32_t>> sums;
    std::vector<std::vector<ByteGate>> gates;  // of each image
  };

  void require_ready() const;
  void add_layer(const RecordedGraph& graph, const RecordedOp& op);
  void fold(const RecordedGraph& graph, const RecordedOp& norm);
  void join_squeeze_excite();
  void find_floats();
  void find_scales();
  Layer& maker(int value);
  Shape shape_of(int value, int64_t images) const;
  Tensor in_float(const Layer& layer, const Tensors& values) const;  // before the activation
  void compute(const Layer& layer, Values& values, int64_t images) const;
  Tensor fused(const Layer& layer, const Values& values, int64_t images) const;
  std::vector<ByteGate> gates_of(const Layer& layer, const Values& values, int64_t images) const;
  ByteScale range(size_t row, int64_t column) const;
  ByteScale before_activation(const Layer& layer) const;

  std::vector<Shape> shapes_;      // of values, for one image
  std::vector<char> is_float_;     // of values: the outputs, and what only they are made of
  std::vector<int> last_reader_;   // of values: the layer after which it is not needed
  std::vector<Layer> layers_;      // in the order of computation
  std::vector<int> outputs_;       // values
  int input_ = 0;                  // value
  std::vector<ByteScale> scales_;  // of values
  // A row for the input, then one for each layer: low and high before the activation, low and high after it.
  Tensor ranges_;
  std::vector<double> sums_;  // of the ranges, over calibrated_ images
  int64_t calibrated_ = 0;
  bool ready_ = false;
};

}  // namespace fovea
