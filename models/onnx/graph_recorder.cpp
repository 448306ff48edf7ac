#include "models/onnx/graph_recorder.h"

namespace fovea {
int GraphRecorder::new_value(const Tensor& tensor, bool constant) {
  const int place = int(graph_.values.size());
  graph_.values.push_back({tensor.shape(), tensor.dtype(), constant ? tensor.detach() : Tensor()});
  places_[tensor.storage()].push_back(place);
  return place;
}

int GraphRecorder::input(const Tensor& tensor) { return new_value(tensor, false); }

int GraphRecorder::value(const Tensor& tensor) {
  if (!tensor.defined()) return no_value;
  const auto known = places_.find(tensor.storage());
  if (known == places_.end()) return new_value(tensor, true);
  const std::vector<int>& places = known->second;
  for (auto place = places.rbegin(); place != places.rend(); ++place)
    if (graph_.values[size_t(*place)].shape == tensor.shape()) return *place;
  const int from = places.back(), view = new_value(tensor, false);
  graph_.ops.push_back({"reshape", {}, {from}, view});
  return view;
}

void GraphRecorder::on_op(const Op& op, const Tensors& inputs, const Tensor& output) {
  RecordedOp recorded{op.name, op.attributes ? op.attributes() : Attributes(), {}, no_value};
  for (const Tensor& input : inputs) recorded.inputs.push_back(value(input));
  recorded.output = new_value(output, false);
  graph_.ops.push_back(std::move(recorded));
}

}  // namespace fovea
