#pragma once
#include <span>
#include <string>

#include "models/box.h"
#include "models/onnx/graph.h"
#include "models/postprocess.h"

namespace fovea {

// The names of the outputs in the graph, N being the batch.
struct OnnxDetections {
  std::string boxes;   // float32 (N, most, 4): xmin, ymin, xmax, ymax in pixels of the network's input
  std::string scores;  // float32 (N, most), best first; 0 in unused places
  std::string labels;  // int64 (N, most), counted from 0; -1 in unused places
  int64_t most = 0;    // options.max_detections, or top_k or the number of pairs if that is less
};

// The steps of detect() (models/postprocess.h) as ONNX operators. The image is the whole input, height x
// width: boxes are clipped at its edge. class_logits (N, anchors, classes), box_codes (N, anchors, 4). The
// only difference is that NaN is not reported and gives no detection. Throws Error on options out of range
// and on soft NMS, which ONNX lacks.
OnnxDetections add_detections(OnnxGraph& onnx, const std::string& class_logits, const std::string& box_codes,
                              std::span<const Box> anchors, int64_t classes, int64_t height, int64_t width,
                              const DetectOptions& options);

}  // namespace fovea
