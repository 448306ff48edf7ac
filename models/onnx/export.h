#pragma once
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "models/efficientdet.h"
#include "models/efficientnet.h"
#include "models/onnx/graph_recorder.h"
#include "models/postprocess.h"

namespace fovea {

// Options of the file.
struct OnnxOptions {
  int height = 0, width = 0;             // of the input, at least 1; the file is for this size
  std::vector<std::string> class_names;  // kept in the file; may be empty
  Normalization normalization;           // the metadata's; EfficientNet and EfficientDet use their own
};

// Each of these writes a network in evaluation mode, in float32 on the CPU, as an ONNX file of opset 13
// (atomically). Its input is `images`, float32 (batch, 3, height, width), RGB, normalised by the metadata's
// mean and std of pixels from 0 to 1; the batch is dynamic. The metadata holds model, task, class_names
// (JSON), image_size ("height x width" as 240x320), mean, std, fovea_version. They throw Error if a network
// cannot be exported because it is in training mode or its weights are on another device, or if the file
// would be over 2 GB, more than protobuf can hold.

// `logits` (batch, classes).
void export_onnx(const std::string& path, const EfficientNet& model, const OnnxOptions& options);

// `class_logits` (batch, anchors, classes), `box_codes` (batch, anchors, 4) as ty, tx, th, tw
// (models/box_coder.h), and `anchors` (anchors, 4) as ymin, xmin, ymax, xmax. Or, with `detections`, the
// outputs of models/onnx/detections.h: `boxes`, `scores` and `labels` of at most max_detections objects per
// image, in pixels of the input.
void export_onnx(const std::string& path, const EfficientDet& model, const OnnxOptions& options,
                 const std::optional<DetectOptions>& detections = std::nullopt);

// The same file of a detector that computes in bytes, with QuantizeLinear and DequantizeLinear around its
// convolutions, by which runtimes know that they can compute these in bytes as well. network: of
// QuantizedNetwork::recorded(); model: what it was made of, whose weights are not read. options: of the size
// that it was quantised for.
void export_onnx(const std::string& path, const EfficientDet& model, const RecordedNetwork& network,
                 const OnnxOptions& options, const std::optional<DetectOptions>& detections = std::nullopt);

// What an exported network computes: named outputs from images (1, height, width, 3).
using OnnxForward = std::function<std::vector<NamedTensor>(const Tensor& images)>;
// Any network that consists of the ops in models/onnx/ops.cpp. forward() must compute its outputs from the
// same tensor that it is given; outputs of rank 4 are (batch, C, H, W) in the file.
void export_onnx(const std::string& path, const Module& model, const OnnxForward& forward,
                 const OnnxOptions& options, const std::map<std::string, std::string>& metadata = {});

}  // namespace fovea
