#pragma once
#include <functional>
#include <list>

#include "cuda/runtime/graph.h"
#include "models/efficientdet.h"
#include "models/postprocess.h"

namespace fovea {

// Computes a detector's boxes from images on CUDA, for batches of one shape: the network, the choice of
// candidates, their boxes and suppression. The first two batches run directly, the third is captured as a
// graph, and the graph is replayed from then on. The host waits once per batch, for its detections.
class CapturedDetection {
 public:
  using Network = std::function<DetectorOutput(const Tensor& images)>;

  // `network` must submit the same work each time, for images (N, H, W, 3) of this shape and dtype on CUDA,
  // and must not read what the device computes. anchors: (anchors, 4) on CUDA.
  CapturedDetection(Network network, const Tensor& anchors, int64_t classes, const Shape& images, DType dtype,
                    const DetectOptions& options = {});

  // Takes images of the given shape and dtype, on either device, and a frame for each. Throws Error
  // otherwise.
  std::vector<std::vector<Detection>> detect(const Tensor& images, std::span<const ImageFrame> frames);

  // The parts of detect(), for work that is not to be captured here: copying images and frames to the device,
  // what detect() captures, and waiting for its results.
  void load(const Tensor& images, std::span<const ImageFrame> frames);
  void compute();
  std::vector<std::vector<Detection>> read() const { return boxes_.read(); }

 private:
  Network network_;
  Tensor anchors_, images_;
  DeviceDetection boxes_;
  cuda::Graph graph_;
};

// A captured detection for each kind of batch: for its shape, dtype, options and stream. The latest few are
// kept, each with the memory of a forward pass.
class CapturedDetections {
 public:
  static constexpr size_t most = 4;

  // As for each CapturedDetection.
  CapturedDetections(CapturedDetection::Network network, const Tensor& anchors, int64_t classes)
      : network_(std::move(network)), anchors_(anchors), classes_(classes) {}

  // The captured detection for such images on the current stream.
  CapturedDetection& of(const Tensor& images, const DetectOptions& options);
  void clear() { latest_.clear(); }
  size_t size() const { return latest_.size(); }

 private:
  struct Kind {
    Shape shape;
    DType dtype;
    DetectOptions options;
    const cuda::Stream* stream;
    bool operator==(const Kind&) const = default;
  };
  struct Entry {
    Entry(const Kind& kind_, const CapturedDetections& of)
        : kind(kind_),
          detection(of.network_, of.anchors_, of.classes_, kind_.shape, kind_.dtype, kind_.options) {}
    Kind kind;
    CapturedDetection detection;
  };
  CapturedDetection::Network network_;
  Tensor anchors_;
  int64_t classes_;
  std::list<Entry> latest_;  // the latest first
};

}  // namespace fovea
