#include "models/postprocess.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <limits>

#include "core/error.h"
#include "cuda/kernels/detection.h"
#include "cuda/runtime/memory.h"
#include "models/box_coder.h"
#include "models/nms.h"
#include "ops/support/dispatch.h"

namespace fovea {
namespace {

static_assert(max_shift == box_code_max_shift && max_log_ratio == box_code_max_log_ratio,
              "the CPU and the GPU decode alike");

float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

[[noreturn]] void refuse_logit(int64_t index, int num_classes) {
  fail(
      "[detect] the logit of class {} at anchor {} is NaN: the weights of the network or its input are not "
      "numbers",
      index % num_classes, index / num_classes);
}

[[noreturn]] void refuse_code(int number, int64_t anchor, float value) {
  fail(
      "[detect] box code {} of anchor {} is {}: the weights of the network or its input are not finite "
      "numbers",
      number, anchor, value);
}

struct Candidate {
  float logit;
  int64_t index;  // anchor * num_classes + class
};

bool better(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.index < b.index;
}

// A logit whose score is not above `score`, with a margin for rounding: the exact comparison uses the score.
float logit_bar(float score) {
  if (score <= 0) return -std::numeric_limits<float>::infinity();
  return float(std::log(double(score)) - std::log1p(-double(score)) - 1e-3);
}

// The k best candidates in order. One pass over the logits: blocks with nothing above the bar are skipped at
// the speed of memory, and each time 2 k candidates have been collected, the bar rises to the k-th of them.
std::vector<Candidate> top_candidates(std::span<const float> logits, int num_classes, size_t k, float bar) {
  constexpr size_t block = 256;
  std::vector<Candidate> candidates;
  const auto keep_best = [&] {
    if (candidates.size() <= k) return;
    std::nth_element(candidates.begin(), candidates.begin() + ptrdiff_t(k) - 1, candidates.end(), better);
    candidates.resize(k);
    bar = candidates.back().logit;  // an equal one met later has a higher index and loses the tie
  };
  for (size_t begin = 0; begin < logits.size(); begin += block) {
    const size_t end = std::min(begin + block, logits.size());
    int above = 0;
    for (size_t i = begin; i < end; ++i) above |= !(logits[i] <= bar);  // also true for NaN
    if (!above) continue;
    for (size_t i = begin; i < end; ++i) {
      if (logits[i] <= bar) continue;
      if (std::isnan(logits[i])) refuse_logit(int64_t(i), num_classes);
      candidates.push_back({logits[i], int64_t(i)});
      if (candidates.size() >= 2 * k) keep_best();
    }
  }
  keep_best();
  std::sort(candidates.begin(), candidates.end(), better);
  return candidates;
}

void check(size_t class_logits, size_t box_codes, size_t num_anchors, int num_classes,
           const ImageFrame& frame, const DetectOptions& options) {
  require(num_classes >= 1, "[detect] num_classes is {}: give at least 1", num_classes);
  require(class_logits == num_anchors * size_t(num_classes),
          "[detect] there are {} class logits for {} anchors and {} classes: there must be {}", class_logits,
          num_anchors, num_classes, num_anchors * size_t(num_classes));
  require(box_codes == num_anchors * 4, "[detect] there are {} box codes for {} anchors: there must be {}",
          box_codes, num_anchors, num_anchors * 4);
  require(std::isfinite(frame.scale) && frame.scale > 0,
          "[detect] the image scale is {}: give a number greater than 0", frame.scale);
  require((frame.height > 0 && frame.width > 0) || (frame.height == 0 && frame.width == 0),
          "[detect] the image is {} x {} pixels: give both sides to clip boxes, or 0 and 0 to leave them",
          frame.height, frame.width);
  require(frame.flip == Flip{} || frame.height > 0,
          "[detect] the image is flipped: give its height and width, which are needed to flip boxes back");
  require(options.top_k >= 1, "[detect] top_k is {}: give at least 1", options.top_k);
  require(options.score_threshold >= 0 && options.score_threshold < 1,
          "[detect] score_threshold is {}: give a number from 0 to below 1", options.score_threshold);
}

Box clipped(const Box& box, float height, float width) {
  return {std::clamp(box.ymin, 0.0f, height), std::clamp(box.xmin, 0.0f, width),
          std::clamp(box.ymax, 0.0f, height), std::clamp(box.xmax, 0.0f, width)};
}

Box original(const Box& box, const ImageFrame& frame) {
  // An edge of the image stays at the edge, whatever the division would round it to.
  const auto divided = [&](float x, int size) {
    return size > 0 && x >= float(size * frame.scale) ? float(size) : float(x / frame.scale);
  };
  Box result{divided(box.ymin, frame.height), divided(box.xmin, frame.width), divided(box.ymax, frame.height),
             divided(box.xmax, frame.width)};
  if (frame.height == 0) return result;
  const float height = float(frame.height), width = float(frame.width);
  result = clipped(result, height, width);  // once more, because the division may round past the edge
  if (frame.flip.horizontal) result = {result.ymin, width - result.xmax, result.ymax, width - result.xmin};
  if (frame.flip.vertical) result = {height - result.ymax, result.xmin, height - result.ymin, result.xmax};
  return result;
}

std::vector<KeptBox> suppressed(std::span<const Box> boxes, std::span<const float> scores,
                                std::span<const int32_t> labels, const DetectOptions& options) {
  return options.soft_nms ? soft_nms(boxes, scores, labels,
                                     {.sigma = options.soft_nms_sigma,
                                      .score_threshold = options.score_threshold,
                                      .max_detections = options.max_detections})
                          : nms(boxes, scores, labels,
                                {.iou_threshold = options.iou_threshold,
                                 .score_threshold = options.score_threshold,
                                 .max_detections = options.max_detections});
}

void check_on_device(const char* what, const Tensor& tensor, DType dtype, const Shape& shape) {
  require(tensor.device() == Device::cuda && tensor.dtype() == dtype,
          "[detect_on_device] the {} are {} on {}: they must be {} on {}", what, tensor.dtype(),
          name(tensor.device()), dtype, name(Device::cuda));
  require(tensor.shape() == shape, "[detect_on_device] the {} have shape {}: it must be {}", what,
          tensor.shape(), shape);
}

}  // namespace

std::vector<Detection> detect(std::span<const float> class_logits, std::span<const float> box_codes,
                              std::span<const Box> anchors, int num_classes, const ImageFrame& frame,
                              const DetectOptions& options) {
  check(class_logits.size(), box_codes.size(), anchors.size(), num_classes, frame, options);
  std::vector<Box> boxes;
  std::vector<float> scores;
  std::vector<int32_t> labels;
  const float bar = logit_bar(options.score_threshold);
  for (const Candidate& candidate : top_candidates(class_logits, num_classes, size_t(options.top_k), bar)) {
    const int64_t anchor = candidate.index / num_classes;
    const float* code = &box_codes[size_t(anchor) * 4];
    for (int i = 0; i < 4; ++i)
      if (!std::isfinite(code[i])) refuse_code(i, anchor, code[i]);
    Box box = decode(anchors[size_t(anchor)], {code[0], code[1], code[2], code[3]});
    if (frame.height > 0) {
      box = clipped(box, float(frame.height * frame.scale), float(frame.width * frame.scale));
      if (!(box.height() > 0 && box.width() > 0)) continue;  // in the letterbox's padding
    }
    boxes.push_back(box);
    scores.push_back(sigmoid(candidate.logit));
    labels.push_back(int32_t(candidate.index % num_classes));
  }

  const auto kept = suppressed(boxes, scores, labels, options);
  std::vector<Detection> detections;
  for (const auto& [index, score] : kept)
    detections.push_back({original(boxes[size_t(index)], frame), score, labels[size_t(index)]});
  return detections;
}

std::vector<std::vector<Detection>> detect_batch(std::span<const float> class_logits,
                                                 std::span<const float> box_codes,
                                                 std::span<const Box> anchors, int num_classes,
                                                 std::span<const ImageFrame> frames,
                                                 const DetectOptions& options) {
  const size_t images = frames.size(), logits = anchors.size() * size_t(std::max(num_classes, 0));
  require(class_logits.size() == images * logits && box_codes.size() == images * anchors.size() * 4,
          "[detect] there are {} class logits and {} box codes for {} images of {} anchors and {} classes: "
          "there must be "
          "{} and {}",
          class_logits.size(), box_codes.size(), images, anchors.size(), num_classes, images * logits,
          images * anchors.size() * 4);
  std::vector<std::vector<Detection>> detections(images);
  std::vector<std::exception_ptr> errors(images);  // an exception must not leave a parallel loop
#pragma omp parallel for schedule(dynamic)
  for (size_t i = 0; i < images; ++i) try {
      detections[i] = detect(class_logits.subspan(i * logits, logits),
                             box_codes.subspan(i * anchors.size() * 4, anchors.size() * 4), anchors,
                             num_classes, frames[i], options);
    } catch (...) {
      errors[i] = std::current_exception();
    }
  for (const std::exception_ptr& error : errors)
    if (error) std::rethrow_exception(error);
  return detections;
}

DeviceDetection::DeviceDetection(int64_t images, int64_t anchors, int64_t classes,
                                 const DetectOptions& options)
    : images_(images),
      anchors_(anchors),
      classes_(classes),
      room_(cuda::candidate_room(anchors * classes, options.top_k)),
      most_(std::min<int64_t>(options.max_detections, room_)),
      options_(options),
      limits_(images * 2),
      scores_(images * room_),
      candidates_(images * room_),
      boxes_(images * room_),
      labels_(images * room_),
      kept_bytes_(size_t(images * std::max<int64_t>(most_, 0)) * sizeof(cuda::DetectedBox)),
      results_(int64_t(kept_bytes_ + size_t(images) * sizeof(cuda::DetectionStatus))),
      on_host_(kept_bytes_ + size_t(images) * sizeof(cuda::DetectionStatus)) {
  require(anchors * classes < int64_t(1) << 29,
          "[detect_on_device] an image has {} class logits: at most 2^29 can be numbered", anchors * classes);
  check(size_t(anchors * classes), size_t(anchors) * 4, size_t(anchors), int(classes), {}, options);
  suppressed({}, {}, {}, options);  // checks its options
}

void DeviceDetection::load(std::span<const ImageFrame> frames) {
  require(int64_t(frames.size()) == images_, "[detect_on_device] there are {} frames for {} images",
          frames.size(), images_);
  // Height and width of each image in pixels of the network's input, 0 where boxes are not clipped.
  std::vector<float> limits;
  for (const ImageFrame& frame : frames) {
    check(size_t(anchors_ * classes_), size_t(anchors_) * 4, size_t(anchors_), int(classes_), frame,
          options_);
    limits.push_back(float(frame.height * frame.scale));
    limits.push_back(float(frame.width * frame.scale));
  }
  frames_.assign(frames.begin(), frames.end());
  if (images_ > 0) staging_.copy(limits_.data(), limits.data(), limits.size() * sizeof(float));
}

void DeviceDetection::compute(const Tensor& class_logits, const Tensor& box_codes, const Tensor& anchors) {
  const bool half = class_logits.dtype() == DType::bfloat16;
  const DType dtype = half ? DType::bfloat16 : DType::float32;
  check_on_device("class logits", class_logits, dtype, {images_, anchors_, classes_});
  check_on_device("box codes", box_codes, dtype, {images_, anchors_, 4});
  check_on_device("anchors", anchors, DType::float32, {anchors_, 4});
  box_codes_ = box_codes;
  const int64_t n = anchors_ * classes_;
  if (images_ == 0 || n == 0) return;
  const cuda::DecodedCandidates decoded{boxes_.data(), scores_.data(), labels_.data()};
  auto* kept = reinterpret_cast<cuda::DetectedBox*>(results_.data());
  auto* status = reinterpret_cast<cuda::DetectionStatus*>(results_.data() + kept_bytes_);
  with_compute_dtype(class_logits, "detect_on_device", [&]<class T>() {
    if constexpr (!std::is_same_v<T, double>) {
      const T *logits = class_logits.data<T>(), *codes = box_codes.data<T>();
      cuda::top_candidates(logits, candidates_.data(), status, images_, n, options_.top_k,
                           logit_bar(options_.score_threshold));
      cuda::decode_candidates(candidates_.data(), logits, codes, anchors.data<float>(), limits_.data(),
                              decoded, status, images_, options_.top_k, room_, anchors_, classes_,
                              options_.score_threshold);
    }
  });
  cuda::suppress(decoded, kept, status, images_, room_,
                 {.soft = options_.soft_nms,
                  .iou_threshold = options_.iou_threshold,
                  .sigma = options_.soft_nms_sigma,
                  .score_threshold = options_.score_threshold,
                  .most = int32_t(most_)});
  cuda::copy_to_host_async(on_host_.data(), results_.data(), on_host_.bytes());
}

std::vector<std::vector<Detection>> DeviceDetection::read() const {
  std::vector<std::vector<Detection>> detections(frames_.size());
  if (images_ == 0 || anchors_ == 0) return detections;
  cuda::current_stream().synchronize();
  const auto* found = reinterpret_cast<const cuda::DetectedBox*>(on_host_.data());
  const auto* said = reinterpret_cast<const cuda::DetectionStatus*>(on_host_.data() + kept_bytes_);
  for (int64_t i = 0; i < images_; ++i) {
    if (said[i].nan_logit != cuda::nothing_wrong) refuse_logit(said[i].nan_logit, int(classes_));
    if (said[i].bad_code != cuda::nothing_wrong) {
      uint64_t candidate;
      cuda::copy_to_host(&candidate, candidates_.data() + i * room_ + said[i].bad_code / 4, sizeof candidate);
      const int64_t anchor =
                        cuda::candidate_index(candidate, cuda::index_bits(anchors_ * classes_)) / classes_,
                    number = said[i].bad_code % 4;
      refuse_code(int(number), anchor,
                  float(box_codes_.values()[size_t((i * anchors_ + anchor) * 4 + number)]));
    }
    for (int32_t d = 0; d < said[i].count; ++d) {
      const auto& [box, score, label] = found[i * most_ + d];
      const Box in_input{box.ymin, box.xmin, box.ymax, box.xmax};
      detections[size_t(i)].push_back({original(in_input, frames_[size_t(i)]), score, label});
    }
  }
  return detections;
}

std::vector<std::vector<Detection>> detect_on_device(const Tensor& class_logits, const Tensor& box_codes,
                                                     const Tensor& anchors,
                                                     std::span<const ImageFrame> frames,
                                                     const DetectOptions& options) {
  require(class_logits.rank() == 3 && class_logits.size(2) >= 1,
          "[detect_on_device] the class logits have shape {}: it must be images x anchors x classes",
          class_logits.shape());
  DeviceDetection detection(int64_t(frames.size()), class_logits.size(1), class_logits.size(2), options);
  detection.load(frames);
  detection.compute(class_logits, box_codes, anchors);
  return detection.read();
}

}  // namespace fovea
