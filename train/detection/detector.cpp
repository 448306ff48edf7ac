#include "train/detection/detector.h"

#include <algorithm>

#include "core/error.h"
#include "models/weighted_box_fusion.h"
#include "ops/shape_ops.h"
#include "train/data/augment/augment.h"
#include "train/data/prefetch.h"
#include "train/detection/detection_recipe.h"
#include "train/parallel/data_parallel.h"

namespace fovea {
namespace {

constexpr int64_t evaluation_batch = 8;  // inputs of the network

struct EvaluationBatch {
  InputBatch images;
  std::vector<ImageFrame> frames;

  // Draws the views of an image into the next entries.
  void add(const Image& image, const Detector& detector, std::span<const Flip> views) {
    for (const Flip& flip : views)
      frames.push_back(prepare_for_evaluation(image, {}, detector.height(), detector.width(),
                                              images.image(int64_t(frames.size())), flip)
                           .frame);
  }
};

// The detections in the views of one image, as one list.
std::vector<Detection> merged(std::span<const std::vector<Detection>> views, const DetectOptions& options) {
  return views.size() == 1 ? views[0]
                           : weighted_box_fusion(views, {.max_detections = options.max_detections});
}

bool in_evaluation_mode(Module& model) {
  bool result = true;
  model.for_each([&](const Module& part) { result = result && !part.training(); });
  return result;
}

// Each process has the detections of some images; this gives all of them to all processes.
void share_detections(std::vector<std::vector<Detection>>& detections, ProcessGroup& group) {
  if (group.size() == 1) return;
  std::vector<double> own;
  for (size_t image = 0; image < detections.size(); ++image)
    for (const Detection& d : detections[image])
      own.insert(own.end(),
                 {double(image), d.box.ymin, d.box.xmin, d.box.ymax, d.box.xmax, d.score, double(d.label)});
  for (auto& image : detections) image.clear();
  for (const std::vector<double>& found : all_gather(group, own))
    for (const double* d = found.data(); d != found.data() + found.size(); d += 7)
      detections[size_t(d[0])].push_back(
          {{float(d[1]), float(d[2]), float(d[3]), float(d[4])}, float(d[5]), int32_t(d[6])});
}

}  // namespace

Detector::Detector(const TrainConfig& config, std::vector<std::string> class_names)
    : precision_(activation_dtype(config)),
      class_names_(std::move(class_names)),
      model_(make_detection_network(config, int64_t(class_names_.size()))) {
  size_ = input_size(config, model_->spec());
  make_anchors_and_casts();
}

Detector::Detector(std::shared_ptr<EfficientDet> model, std::array<int, 2> size,
                   std::vector<std::string> class_names)
    : size_(size),
      precision_(model->device() == Device::cuda ? DType::bfloat16 : DType::float32),
      class_names_(std::move(class_names)),
      model_(std::move(model)) {
  require(size_[0] > 0 && size_[1] > 0, "[Detector] the input is {} x {} pixels: give height and width",
          size_[0], size_[1]);
  require(int64_t(class_names_.size()) == model_->classes(),
          "[Detector] {} class names for a network of {} classes", class_names_.size(), model_->classes());
  make_anchors_and_casts();
}

void Detector::make_anchors_and_casts() {
  anchors_ = generate_anchors(size_[0], size_[1], model_->spec().anchors);
  state_ = state_dict(*model_);
  follow_moved_weights();
}

void Detector::follow_moved_weights() {
  std::vector<std::byte*> addresses;
  for (const NamedTensor& weight : state_) addresses.push_back(weight.tensor.raw());
  if (addresses == addresses_) return;
  addresses_ = std::move(addresses);
  casts_ = casts_of(*model_, precision_);
  captured_.reset();
  if (device() == Device::cpu) return;
  const auto network = [model = model_, casts = casts_, precision = precision_](const Tensor& images) {
    const ParameterCasts::Scope scope(casts);
    return model->outputs(cast(images, precision));
  };
  captured_ = std::make_shared<CapturedDetections>(network, anchor_tensor(anchors_).to(Device::cuda),
                                                   int64_t(class_names_.size()));
}

Detector::Detector(const ModelFile& file, Device device)
    : Detector(on_device(file.state().config, device), file.state().class_names) {
  require(file.state().config.task == "detection",
          "these weights are of a {} network: it does not detect objects", file.state().config.task);
  model_->set_training(false);
  if (!file.is_quantized()) {
    file.restore(*model_);
    return;
  }
  require(device == Device::cpu, "these weights are quantised and run only on the CPU: leave out `device`");
  auto network = std::make_shared<QuantizedNetwork>(recorded());
  file.restore(*network);
  use(std::move(network));
}

QuantizedNetwork Detector::recorded() const {
  const auto forward = [this](const Tensor& images) -> Tensors {
    const DetectorOutput output = model_->outputs(images);
    return {output.class_logits, output.box_codes};
  };
  return {forward, height(), width()};
}

DetectorOutput Detector::outputs(const Tensor& images) const {
  if (quantized_) {
    const Tensors output = quantized_->outputs(images);
    return {output[0], output[1]};
  }
  const ParameterCasts::Scope scope(casts_);
  return model_->outputs(cast(images, precision_));
}

std::vector<std::vector<Detection>> Detector::detect(const Tensor& images, std::span<const ImageFrame> frames,
                                                     const DetectOptions& options) {
  NoGrad no_grad;
  follow_moved_weights();
  if (device() == Device::cpu) {
    const DetectorOutput output = outputs(images);
    const Tensor logits = cast(output.class_logits, DType::float32),
                 codes = cast(output.box_codes, DType::float32);
    return detect_batch(logits.span<float>(), codes.span<float>(), anchors_, int(class_names_.size()), frames,
                        options);
  }
  CapturedDetection& captured = captured_->of(images, options);
  if (in_evaluation_mode(*model_)) return captured.detect(images, frames);
  captured.load(images, frames);  // a graph would stay in training mode
  captured.compute();
  return captured.read();
}

std::vector<Detection> Detector::detect(const Image& image, const DetectOptions& options,
                                        std::span<const Flip> views) {
  EvaluationBatch batch{input(int64_t(views.size())), {}};
  batch.add(image, *this, views);
  return merged(detect(batch.images.on_device(), batch.frames, options), options);
}

std::vector<std::vector<Detection>> detect_dataset(Detector& detector, const DetectionDataset& dataset,
                                                   ImageCache& images, int workers,
                                                   const DetectOptions& options,
                                                   const OnProgress& on_progress, ProcessGroup& group,
                                                   std::span<const Flip> views) {
  const int64_t count = int64_t(dataset.images.size()), shown = int64_t(views.size());
  const int64_t images_at_once = std::max<int64_t>(1, evaluation_batch / shown);
  const Turns turns = turns_of(group, (count + images_at_once - 1) / images_at_once);
  workers = workers_for(detector.device(), workers);
  Prefetch<EvaluationBatch> prefetch(workers, size_t(workers) + 1, 0, turns.count, [&](int64_t index) {
    const int64_t begin = turns[index] * images_at_once, n = std::min(images_at_once, count - begin);
    EvaluationBatch batch{detector.input(n * shown), {}};
    for (int64_t i = 0; i < n; ++i) batch.add(*images.get(size_t(begin + i)), detector, views);
    return batch;
  });
  std::vector<std::vector<Detection>> result;
  result.resize(size_t(count));
  for (int64_t index = 0; index < turns.count; ++index) {
    const EvaluationBatch batch = prefetch.next();
    const auto found = detector.detect(batch.images.on_device(), batch.frames, options);
    size_t image = size_t(turns[index] * images_at_once);
    for (size_t first = 0; first < found.size(); first += views.size())
      result[image++] = merged(std::span(found).subspan(first, views.size()), options);
    if (on_progress) on_progress(std::min(count, turns[index + 1] * images_at_once), count);
  }
  detector.drop_graphs();  // training continues and needs the memory
  share_detections(result, group);
  return result;
}

std::vector<std::string> files_of(const DetectionDataset& dataset) {
  std::vector<std::string> files;
  for (const LabelledImage& image : dataset.images) files.push_back(image.file);
  return files;
}

}  // namespace fovea
