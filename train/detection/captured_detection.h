#pragma once
#include <functional>
#include <list>

#include "cuda/runtime/graph.h"
#include "models/efficientdet.h"
#include "models/postprocess.h"

namespace fovea {

// A detector's way from images to boxes on CUDA, for batch after batch of one shape: the network, the choice
// of candidates, their boxes and suppression. The first two batches run as they are, the third is captured as
// a graph, and from then on it is replayed. The host waits once a batch, for its detections.
class CapturedDetection {
 public:
  using Network = std::function<DetectorOutput(const Tensor& images)>;

  // `network` must ask for the same work each time, of images (N, H, W, 3) of this shape and dtype on CUDA,
  // and must not read what the device computes. anchors: (anchors, 4) on CUDA.
  CapturedDetection(Network network, const Tensor& anchors, int64_t classes, const Shape& images, DType dtype,
                    const DetectOptions& options = {});

  // Images of the shape and dtype given, on either device, and a frame for each, or it throws.
  std::vector<std::vector<Detection>> detect(const Tensor& images, std::span<const ImageFrame> frames);

  // Its parts, for what is not to be captured here: images and frames to the device, what detect() captures,
  // and the wait for its results.
  void load(const Tensor& images, std::span<const ImageFrame> frames);
  void compute();
  std::vector<std::vector<Detection>> read() const { return boxes_.read(); }

 private:
  Network network_;
  Tensor anchors_, images_;
  DeviceDetection boxes_;
  cuda::Graph graph_;
};

// A captured detection for each kind of batch that comes: of a shape, a dtype and options, on a stream. The
// latest few are kept, each with the memory of a forward pass.
class CapturedDetections {
 public:
  static constexpr size_t most = 4;

  // As for each CapturedDetection.
  CapturedDetections(CapturedDetection::Network network, const Tensor& anchors, int64_t classes)
      : network_(std::move(network)), anchors_(anchors), classes_(classes) {}

  // The one for such images on the current stream.
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
  std::list<Entry> latest_;  // first
};

}  // namespace fovea
