#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cuda/runtime/process_group.h"
#include "models/efficientdet.h"
#include "models/postprocess.h"
#include "train/data/augment/input_image.h"
#include "train/data/dataset.h"
#include "train/data/image/image.h"
#include "train/data/image/image_cache.h"
#include "train/detection/captured_detection.h"
#include "train/evaluation/coco_evaluation.h"
#include "train/loop/config.h"
#include "train/loop/model_file.h"

namespace fovea {

// A detector: the network, its anchors at one input size, and the names of its classes.
class Detector {
 public:
  // With new weights from config.seed.
  Detector(const TrainConfig& config, std::vector<std::string> class_names);
  // With your own network and its weights: from any spec, on any backbone. `size` is the height and width of
  // its input. Activations are float32, on CUDA bfloat16.
  Detector(std::shared_ptr<EfficientDet> model, std::array<int, 2> size,
           std::vector<std::string> class_names);
  // Loads the weights of a file, in evaluation mode, on the given device. Throws as ModelFile does, and if
  // its task is not detection. A quantised file is for the CPU only; model() then has no weights of its own.
  explicit Detector(const ModelFile& file, Device device = Device::cpu);

  EfficientDet& model() { return *model_; }
  const EfficientDet& model() const { return *model_; }
  const std::shared_ptr<EfficientDet>& shared_model() const { return model_; }
  const ParameterCasts& casts() const { return casts_; }  // of its weights, which outputs() keeps up to date
  const std::vector<Box>& anchors() const { return anchors_; }
  const std::vector<std::string>& class_names() const { return class_names_; }
  Device device() const { return model_->device(); }
  int height() const { return size_[0]; }
  int width() const { return size_[1]; }
  // An input of `count` images, for prepare_for_evaluation() and the like to draw.
  InputBatch input(int64_t count) const { return input(count, size_); }
  // The same of another height and width.
  InputBatch input(int64_t count, std::array<int, 2> size) const {
    return {{count, size[0], size[1], 3}, precision_, device(), model_->normalization()};
  }

  // The network, recorded for quantising: float weights, not calibrated yet. Throws as its constructor does.
  QuantizedNetwork recorded() const;
  // From now on outputs come from this network, which recorded() made, in place of model(). Null: from
  // model() again.
  void use(std::shared_ptr<const QuantizedNetwork> network) { quantized_ = std::move(network); }

  const QuantizedNetwork* quantized() const { return quantized_.get(); }  // null: computes in float

  // The network's output for images (N, height, width, 3) on its device: computed in the configured
  // precision, or in bytes where the network is quantised.
  DetectorOutput outputs(const Tensor& images) const;

  // Letterboxes the image, runs the network and returns boxes in pixels of the image, best score first.
  // Weighted box fusion merges the detections of several views, each one flip (test_time_flips()), into one
  // list.
  std::vector<Detection> detect(const Image& image, const DetectOptions& options = {},
                                std::span<const Flip> views = unflipped);
  // images (N, height, width, 3) as prepare_for_evaluation makes them, with their frames. In evaluation mode
  // on CUDA, batches of one shape soon become a graph (captured_detection.h). A replay reads the current
  // weights; graphs are dropped if parameters or buffers have moved, for example to another device.
  std::vector<std::vector<Detection>> detect(const Tensor& images, std::span<const ImageFrame> frames,
                                             const DetectOptions& options = {});
  // Frees the memory that graphs keep for the next batches.
  void drop_graphs() {
    if (captured_) captured_->clear();
  }

 private:
  void make_anchors_and_casts();
  void follow_moved_weights();

  std::array<int, 2> size_;
  DType precision_;
  std::vector<std::string> class_names_;
  std::shared_ptr<EfficientDet> model_;
  std::shared_ptr<const QuantizedNetwork> quantized_;
  ParameterCasts casts_;
  std::vector<Box> anchors_;
  std::vector<NamedTensor> state_;     // of the network: handles, which follow its numbers when they move
  std::vector<std::byte*> addresses_;  // of the numbers for which the casts and the graphs were made
  std::shared_ptr<CapturedDetections> captured_;  // on CUDA
};

// Called with the number of images done so far, and the total.
using OnProgress = std::function<void(int64_t done, int64_t total)>;

// The detections in every image of a data set, in its order; `images` has the same files. Images are prepared
// by `workers` threads (0: workers_for()) while the network runs. The processes of a group share the work,
// and all get the whole result. `views` is as in Detector::detect().
std::vector<std::vector<Detection>> detect_dataset(Detector& detector, const DetectionDataset& dataset,
                                                   ImageCache& images, int workers,
                                                   const DetectOptions& options = {},
                                                   const OnProgress& on_progress = {},
                                                   ProcessGroup& group = single_process(),
                                                   std::span<const Flip> views = unflipped);

// The files of a data set, for an ImageCache.
std::vector<std::string> files_of(const DetectionDataset& dataset);

}  // namespace fovea
