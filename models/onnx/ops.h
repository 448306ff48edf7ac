#pragma once
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "models/onnx/graph.h"
#include "models/onnx/graph_recorder.h"
#include "nn/module.h"

namespace fovea {

constexpr float most_bias = 1 << 29;  // of a convolution of bytes, in sums of 32 bits

// The bias of a convolution of bytes as a number of `scale`s, the scale of its input times that of its
// weight.
inline int32_t bias_in_sums(float bias, float scale) {
  return int32_t(std::nearbyint(std::clamp(bias / scale, -most_bias, most_bias)));
}

// Writes a recorded network as ONNX operators: the ops that evaluation runs, on float32. Images are (N, H, W,
// C) here and (N, C, H, W) there, so every value of rank 4 changes its layout; others keep it. The first size
// of a value computed from the input is the batch, and stays open. A batch norm is folded into the
// convolution before it if nothing else reads that one. Constants get their names from `weights`.
//
// Two ops exist only in the record of a quantised network: "quantize" (attributes scale and zero) rounds a
// value to the numbers that bytes can represent; "dequantize" computes a convolution's weight from bytes,
// number = scale * (byte - 128), with a scale for each output channel. They become QuantizeLinear and
// DequantizeLinear, of uint8 and int8, and the convolution's bias becomes int32.
class OnnxTranslation {
 public:
  OnnxTranslation(const RecordedGraph& recorded, const std::vector<NamedTensor>& weights, OnnxGraph& onnx);

  // The recorded value that is the ONNX input `name`. Call it before run().
  void set_input(int value, const std::string& name) { names_[size_t(value)] = name; }

  // Translates everything that `outputs` may depend on, all ops in their order. Throws Error naming an op
  // that has no translation, and on batch norms in training.
  void run(const std::vector<int>& outputs);

  const std::string& name(int value) const;  // in the ONNX graph

 private:
  struct Kernel;  // of a convolution, in ONNX's layout
  using Translate = std::string (OnnxTranslation::*)(const RecordedOp&);
  static Translate translation_of(const std::string& op);

  std::string convolution(const RecordedOp& op);
  std::string linear(const RecordedOp& op);
  std::string batch_norm(const RecordedOp& op);
  std::string activation(const RecordedOp& op);
  std::string arithmetic(const RecordedOp& op);
  std::string global_average_pool(const RecordedOp& op);
  std::string squeeze_excite(const RecordedOp& op);
  std::string bifpn_node(const RecordedOp& op);
  std::string resample(const RecordedOp& op);
  std::string max_pool2d(const RecordedOp& op);
  std::string reshape(const RecordedOp& op);
  std::string concat(const RecordedOp& op);
  std::string slice(const RecordedOp& op);
  std::string quantize(const RecordedOp& op);

  Kernel kernel_of(const RecordedOp& convolution) const;
  std::string convolve(const RecordedOp& convolution, const Kernel& kernel);
  OnnxNames dequantized(const RecordedOp& convolution, const Kernel& kernel);
  bool goes_into_norm(const RecordedOp& convolution) const;
  std::string activated(const std::string& x, const std::string& activation);
  std::string resampled(const RecordedOp& op, int input);

  const Shape& shape(int value) const { return recorded_.values[size_t(value)].shape; }
  const Tensor& constant(const RecordedOp& op, size_t input) const;
  std::string stored(int value, const Shape& shape, std::span<const float> numbers);
  std::string weight_name(int value) const;
  void set_scope(const RecordedOp& op);

  const RecordedGraph& recorded_;
  const std::vector<NamedTensor>& weights_;
  OnnxGraph& onnx_;
  std::vector<std::string> names_;         // of values; "" until translated
  std::vector<int> readers_;               // of values
  std::vector<const RecordedOp*> makers_;  // of values
  std::map<int, std::string> stored_;      // the names of weights that are stored unchanged, by value
};

}  // namespace fovea
