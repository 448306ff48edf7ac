#include "models/onnx/detections.h"

#include <algorithm>

#include "core/error.h"
#include "models/box_coder.h"

namespace fovea {
namespace {

using Integers = std::vector<int64_t>;

void check(const DetectOptions& options) {
  require(!options.soft_nms, "[onnx] ONNX has no soft NMS: export with hard NMS");
  require(options.top_k >= 1 && options.max_detections >= 1,
          "[onnx] top_k is {} and max_detections {}: give at least 1", options.top_k, options.max_detections);
  require(options.score_threshold >= 0 && options.score_threshold < 1,
          "[onnx] score_threshold is {}: give a number from 0 to below 1", options.score_threshold);
  require(options.iou_threshold >= 0 && options.iou_threshold <= 1,
          "[onnx] iou_threshold is {}: give a number from 0 to 1", options.iou_threshold);
}

struct DetectionGraph {
  OnnxGraph& onnx;

  // The k best of each row of x (N, n), equal ones in their order: their values and places, (N, k).
  OnnxNames best(const std::string& x, int64_t k) {
    return onnx.add("TopK", {x, onnx.list(Integers{k})}, {{"axis", int64_t(1)}}, 2);
  }

  // The entries of x (N, n, ...) at `places` (N, k) in each image.
  std::string take(const std::string& x, const std::string& places) {
    const std::string indices = onnx.add("Unsqueeze", {places, onnx.list(Integers{2})});
    return onnx.add("GatherND", {x, indices}, {{"batch_dims", int64_t(1)}});
  }

  // Columns begin .. begin + 1 of x (N, k, n).
  std::string pair(const std::string& x, int64_t begin) {
    return onnx.add("Slice",
                    {x, onnx.list(Integers{begin}), onnx.list(Integers{begin + 2}), onnx.list(Integers{2})});
  }

  // Boxes (N, k, 4) from codes (N, k, 4) and the anchors' numbers `which` (N, k), as decode() does
  // (models/box_coder.h), clipped to the input. Columns xmin, ymin, xmax, ymax.
  std::string decoded(const std::string& codes, const std::string& which, std::span<const Box> anchors,
                      int64_t height, int64_t width) {
    std::vector<float> centre, size;  // x, y
    for (const Box& a : anchors) {
      centre.insert(centre.end(), {a.xmin + a.width() / 2, a.ymin + a.height() / 2});
      size.insert(size.end(), {a.width(), a.height()});
    }
    const Integers sizes{int64_t(anchors.size()), 2};
    const std::string centres = onnx.add("Gather", {onnx.constant("anchors.centre", sizes, centre), which});
    const std::string extents = onnx.add("Gather", {onnx.constant("anchors.size", sizes, size), which});
    // From ty, tx, th, tw to tx, ty and tw, th.
    const std::string turned =
        onnx.add("Gather", {codes, onnx.list(Integers{1, 0, 3, 2})}, {{"axis", int64_t(2)}});
    const double shift = max_shift, log_ratio = max_log_ratio;
    const std::string moved = onnx.add("Clip", {pair(turned, 0), onnx.scalar(-shift), onnx.scalar(shift)});
    const std::string grown = onnx.add("Exp", {onnx.add("Min", {pair(turned, 2), onnx.scalar(log_ratio)})});
    const std::string middle = onnx.add("Add", {onnx.add("Mul", {moved, extents}), centres});
    const std::string half = onnx.add("Div", {onnx.add("Mul", {grown, extents}), onnx.scalar(2.0)});
    const auto clipped = [&](const std::string& x) {
      const std::string limit = onnx.list(std::vector<float>{float(width), float(height)});
      return onnx.add("Min", {onnx.add("Max", {x, onnx.scalar(0.0)}), limit});
    };
    return onnx.add("Concat",
                    {clipped(onnx.add("Sub", {middle, half})), clipped(onnx.add("Add", {middle, half}))},
                    {{"axis", int64_t(2)}});
  }

  // The scores (N, k) of boxes with an area, 0 for the others.
  std::string of_real_boxes(const std::string& scores, const std::string& boxes) {
    const std::string sides = onnx.add("Sub", {pair(boxes, 2), pair(boxes, 0)});
    const std::string shorter =
        onnx.add("ReduceMin", {sides}, {{"axes", Integers{2}}, {"keepdims", int64_t(0)}});
    return onnx.add("Where", {onnx.add("Greater", {shorter, onnx.scalar(0.0)}), scores, onnx.scalar(0.0)});
  }

  // The scores (N, k) of the boxes that suppression leaves, 0 for the others. NonMaxSuppression takes scores
  // as (N, classes, k), where a box has a score for its own class, and returns rows (image, class, box).
  std::string suppressed(const std::string& boxes, const std::string& scores, const std::string& labels,
                         int64_t classes, const DetectOptions& options) {
    const auto row = [&](const std::string& x) { return onnx.add("Unsqueeze", {x, onnx.list(Integers{1})}); };
    std::vector<int64_t> numbers;
    for (int64_t i = 0; i < classes; ++i) numbers.push_back(i);
    const std::string column = onnx.add("Unsqueeze", {onnx.list(numbers), onnx.list(Integers{1})});
    const std::string of_class =
        onnx.add("Where", {onnx.add("Equal", {row(labels), column}), row(scores), onnx.scalar(0.0)});
    const std::string kept =
        onnx.add("NonMaxSuppression",
                 {boxes, of_class, onnx.scalar(int64_t(options.max_detections)),
                  onnx.scalar(double(options.iou_threshold)), onnx.scalar(double(options.score_threshold))});
    const std::string places = onnx.add("Gather", {kept, onnx.list(Integers{0, 2})}, {{"axis", int64_t(1)}});
    const std::string none = onnx.add("Mul", {scores, onnx.scalar(0.0)});
    return onnx.add("ScatterND", {none, places, onnx.add("GatherND", {scores, places})});
  }
};

}  // namespace

OnnxDetections add_detections(OnnxGraph& onnx, const std::string& class_logits, const std::string& box_codes,
                              std::span<const Box> anchors, int64_t classes, int64_t height, int64_t width,
                              const DetectOptions& options) {
  check(options);
  onnx.set_scope("detections");
  DetectionGraph graph{onnx};
  const int64_t pairs = int64_t(anchors.size()) * classes, k = std::min<int64_t>(options.top_k, pairs);
  const std::string all = onnx.add("Reshape", {class_logits, onnx.list(Integers{0, pairs})});
  const OnnxNames candidates = graph.best(all, k);
  const std::string anchor = onnx.add("Div", {candidates[1], onnx.scalar(classes)});
  const std::string label = onnx.add("Mod", {candidates[1], onnx.scalar(classes)});
  const std::string boxes = graph.decoded(graph.take(box_codes, anchor), anchor, anchors, height, width);
  const std::string scores = graph.of_real_boxes(onnx.add("Sigmoid", {candidates[0]}), boxes);
  const std::string left = graph.suppressed(boxes, scores, label, classes, options);

  OnnxDetections found;
  found.most = std::min<int64_t>(options.max_detections, k);
  const OnnxNames best = graph.best(left, found.most);
  const std::string used = onnx.add("Greater", {best[0], onnx.scalar(0.0)});
  found.scores = best[0];
  found.labels = onnx.add("Where", {used, graph.take(label, best[1]), onnx.scalar(int64_t(-1))});
  const std::string used_boxes = onnx.add("Unsqueeze", {used, onnx.list(Integers{2})});
  found.boxes = onnx.add("Where", {used_boxes, graph.take(boxes, best[1]), onnx.scalar(0.0)});
  return found;
}

}  // namespace fovea
