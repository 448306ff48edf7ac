#include "models/onnx/export.h"

#include <onnx/onnx_pb.h>

#include <climits>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/file.h"
#include "models/onnx/detections.h"
#include "models/onnx/graph_recorder.h"
#include "models/onnx/ops.h"

namespace fovea {
namespace {

using Metadata = std::map<std::string, std::string>;

struct Output {
  std::string name;            // as forward() named it
  std::string value;           // in the ONNX graph
  std::vector<int64_t> sizes;  // after the batch
};

void write_model(const std::string& path, const onnx::ModelProto& model) {
  const size_t bytes = model.ByteSizeLong();
  require(bytes < INT_MAX, "{} would have {} bytes: an ONNX file can have 2 GB", path, bytes);
  write_file_atomically(path, model.SerializeAsString());
}

// Records the network on one image; names gets those of its outputs.
RecordedNetwork record(const Module& model, const OnnxForward& forward, const OnnxOptions& options,
                       std::vector<std::string>& names) {
  require(options.height >= 1 && options.width >= 1,
          "[onnx] the input is {} x {} pixels: give height and width", options.height, options.width);
  require(!model.training(), "[onnx] the network is in training mode: call set_training(false) first");
  require(model.device() == Device::cpu, "[onnx] the network is on {}: move it to the CPU first",
          name(model.device()));
  const NoGrad no_grad;
  GraphRecorder recorder;
  const Tensor images = zeros({1, options.height, options.width, 3});
  RecordedNetwork network{{}, recorder.input(images), {}, state_dict(model)};
  for (const NamedTensor& output : forward(images)) {
    network.outputs.push_back(recorder.value(output.tensor));
    names.push_back(output.name);
  }
  network.graph = recorder.graph();
  return network;
}

std::vector<Output> translate(OnnxGraph& onnx, const RecordedNetwork& network,
                              const std::vector<std::string>& names) {
  const auto sizes_of = [&](int value) {
    const auto sizes = network.graph.values[size_t(value)].shape.sizes();
    std::vector<int64_t> result(sizes.begin() + 1, sizes.end());
    if (sizes.size() == 4) result = {sizes[3], sizes[1], sizes[2]};
    return result;
  };
  OnnxTranslation translation(network.graph, network.constants, onnx);
  onnx.input("images", sizes_of(network.input));
  translation.set_input(network.input, "images");
  translation.run(network.outputs);
  onnx.set_scope("");
  std::vector<Output> result;
  for (size_t i = 0; i < names.size(); ++i) {
    const int value = network.outputs[i];
    result.push_back({names[i], translation.name(value), sizes_of(value)});
  }
  return result;
}

void add_metadata(OnnxGraph& onnx, const OnnxOptions& options, const Metadata& more) {
  Metadata metadata = more;
  if (!options.class_names.empty()) metadata["class_names"] = nlohmann::json(options.class_names).dump();
  metadata["image_size"] = fmt::format("{}x{}", options.height, options.width);
  metadata["mean"] = fmt::format("[{}]", fmt::join(options.normalization.mean, ", "));
  metadata["std"] = fmt::format("[{}]", fmt::join(options.normalization.deviation, ", "));
  metadata["fovea_version"] = FOVEA_VERSION;
  for (const auto& [key, value] : metadata) onnx.metadata(key, value);
}

OnnxOptions normalized_for(const OnnxOptions& options, const Normalization& normalization) {
  OnnxOptions result = options;
  result.normalization = normalization;
  return result;
}

void check_class_names(const OnnxOptions& options, int64_t classes) {
  require(options.class_names.empty() || int64_t(options.class_names.size()) == classes,
          "[onnx] there are {} class names for {} classes", options.class_names.size(), classes);
}

}  // namespace

void export_onnx(const std::string& path, const Module& model, const OnnxForward& forward,
                 const OnnxOptions& options, const Metadata& metadata) {
  OnnxGraph onnx;
  std::vector<std::string> names;
  const RecordedNetwork network = record(model, forward, options, names);
  for (const Output& output : translate(onnx, network, names))
    onnx.output(output.name, output.value, OnnxType::float32, output.sizes);
  add_metadata(onnx, options, metadata);
  write_model(path, onnx.finish());
}

void export_onnx(const std::string& path, const EfficientNet& model, const OnnxOptions& options) {
  const OnnxForward forward = [&](const Tensor& images) {
    const Tensor logits = model.forward(images);
    check_class_names(options, logits.size(1));
    return std::vector<NamedTensor>{{"logits", logits}};
  };
  export_onnx(path, model, forward, normalized_for(options, model.normalization()),
              {{"model", model.spec().name}, {"task", "classification"}});
}

void export_onnx(const std::string& path, const EfficientDet& model, const OnnxOptions& options,
                 const std::optional<DetectOptions>& detections) {
  const OnnxForward forward = [&](const Tensor& images) {
    const DetectorOutput output = model.outputs(images);
    return std::vector<NamedTensor>{{"class_logits", output.class_logits}, {"box_codes", output.box_codes}};
  };
  std::vector<std::string> names;
  export_onnx(path, model, record(model, forward, options, names), options, detections);
}

void export_onnx(const std::string& path, const EfficientDet& model, const RecordedNetwork& network,
                 const OnnxOptions& options, const std::optional<DetectOptions>& detections) {
  check_class_names(options, model.classes());
  OnnxGraph onnx;
  const std::vector<Output> outputs = translate(onnx, network, {"class_logits", "box_codes"});
  const std::vector<Box> anchors = generate_anchors(options.height, options.width, model.spec().anchors);
  if (detections) {
    const OnnxDetections found = add_detections(onnx, outputs[0].value, outputs[1].value, anchors,
                                                model.classes(), options.height, options.width, *detections);
    onnx.output("boxes", found.boxes, OnnxType::float32, {found.most, 4});
    onnx.output("scores", found.scores, OnnxType::float32, {found.most});
    onnx.output("labels", found.labels, OnnxType::int64, {found.most});
  } else {
    for (const Output& output : outputs)
      onnx.output(output.name, output.value, OnnxType::float32, output.sizes);
    const std::vector<int64_t> sizes{int64_t(anchors.size()), 4};
    const std::string edges = onnx.constant("anchors.edges", sizes, anchor_tensor(anchors).span<float>());
    onnx.output("anchors", edges, OnnxType::float32, sizes, false);
  }
  add_metadata(onnx, normalized_for(options, model.normalization()),
               {{"model", model.spec().name}, {"task", "detection"}});
  write_model(path, onnx.finish());
}

}  // namespace fovea
