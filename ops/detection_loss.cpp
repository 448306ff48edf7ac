#include "ops/detection_loss.h"

#include <algorithm>
#include <array>

#include "core/parallel.h"
#include "ops/support/class_weights.h"
#include "ops/support/dispatch.h"

namespace fovea {
namespace {

constexpr int64_t chunk_elements = 4096;

// Calls f(chunk, first element, count, positive, weight) for pieces of whole anchors, with each element's
// 0/1 target and its weight written out, 0 where it does not count, so that the arithmetic is one flat loop
// however few classes there are.
template <class T, class F>
void for_target_chunks(const int32_t* targets, const T* class_weights, int64_t anchors, int64_t classes,
                       F&& f) {
  parallel_chunks(anchors, std::max<int64_t>(1, chunk_elements / classes),
                  [&](int64_t index, int64_t begin, int64_t end) {
                    std::vector<T> positive(size_t((end - begin) * classes)),
                        weight(size_t((end - begin) * classes), T(1));
                    for (int64_t a = begin; a < end; ++a) {
                      T* row = positive.data() + (a - begin) * classes;
                      T* row_weight = weight.data() + (a - begin) * classes;
                      if (targets[a] >= 0) row[targets[a]] = T(1);
                      if (targets[a] == ignored_target)
                        std::fill_n(row_weight, classes, T(0));
                      else if (class_weights)
                        std::copy_n(class_weights, classes, row_weight);
                    }
                    f(index, begin * classes, (end - begin) * classes, positive.data(), weight.data());
                  });
}

double ordered_sum(const std::vector<double>& partial) {
  double sum = 0;
  for (double value : partial) sum += value;
  return sum;
}

// The losses of `count` logits, and their gradients times `scale` where GRADIENT.
template <bool THREE_HALVES, bool GRADIENT, class T>
void focal_losses(const FocalLoss<T> focal, const T* x, const T* positive, const T* weight, T scale,
                  T* losses, T* dx, int64_t count) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const auto of = focal.template at<THREE_HALVES>(x[i], positive[i]);
    losses[i] = of.loss * weight[i];
    if constexpr (GRADIENT) dx[i] = scale * weight[i] * of.derivative;
  }
}

// dx: the gradient, or null
template <class T>
void focal_loss_cpu(const T* x, const int32_t* targets, const T* class_weights, T* loss, T* dx,
                    const FocalLoss<T>& focal, const T* normalizer, int64_t anchors, int64_t classes) {
  std::vector<double> partial(size_t(chunk_count(anchors, std::max<int64_t>(1, chunk_elements / classes))));
  const T scale = T(1 / double(*normalizer));
  for_target_chunks<T>(targets, class_weights, anchors, classes,
                       [&](int64_t index, int64_t first, int64_t count, const T* positive, const T* weight) {
                         // First the values, then their sum: the compiler vectorises each of the two loops,
                         // but not both in one. The sum is in double: over thousands of easy anchors a float
                         // would lose its last digits where a build does not vectorise the sum.
                         std::vector<T> losses(static_cast<size_t>(count));
                         focal.with_gamma([&]<bool THREE_HALVES>() {
                           if (dx)
                             focal_losses<THREE_HALVES, true>(focal, x + first, positive, weight, scale,
                                                              losses.data(), dx + first, count);
                           else
                             focal_losses<THREE_HALVES, false>(focal, x + first, positive, weight, scale,
                                                               losses.data(), dx, count);
                         });
                         double sum = 0;
#pragma omp simd reduction(+ : sum)
                         for (int64_t i = 0; i < count; ++i) sum += double(losses[size_t(i)]);
                         partial[size_t(index)] = sum;
                       });
  *loss = T(ordered_sum(partial) * (1 / double(*normalizer)));
}

// Does nothing if the factor is 1, as when backward() is called on this loss itself.
template <class T>
void scale_gradient_cpu(T* dx, const T* factor, int64_t n) {
  if (*factor == T(1)) return;
  parallel_for(n, chunk_elements, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) dx[i] *= *factor;
  });
}

template <class T>
void huber_loss_cpu(const T* p, const T* t, T* loss, const HuberLoss<T>& huber, const T* normalizer,
                    int64_t n) {
  std::vector<double> partial(size_t(chunk_count(n, chunk_elements)));
  parallel_chunks(n, chunk_elements, [&](int64_t index, int64_t begin, int64_t end) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = begin; i < end; ++i) sum += double(huber.value(p[i], t[i]));
    partial[size_t(index)] = sum;
  });
  *loss = T(ordered_sum(partial) * (1 / (4 * double(*normalizer))));
}

template <class T>
void huber_loss_backward_cpu(const T* p, const T* t, const T* dy, T* dp, const HuberLoss<T>& huber,
                             const T* normalizer, int64_t n) {
  const T scale = T(double(*dy) / (4 * double(*normalizer)));
  parallel_for(n, chunk_elements, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) dp[i] = scale * huber.derivative(p[i], t[i]);
  });
}

constexpr int64_t chunk_boxes = 1024;

template <class T>
void iou_loss_cpu(const MatchedBoxes<T>& boxes, T* loss, const IouLoss<T>& iou, const T* normalizer) {
  std::vector<double> partial(size_t(chunk_count(boxes.n, chunk_boxes)));
  parallel_chunks(boxes.n, chunk_boxes, [&](int64_t index, int64_t begin, int64_t end) {
    double sum = 0;
    for (int64_t i = begin; i < end; ++i)
      if (boxes.labels[i] >= 0) sum += double(boxes.at(iou, i).loss);
    partial[size_t(index)] = sum;
  });
  *loss = T(ordered_sum(partial) / double(*normalizer));
}

template <class T>
void iou_loss_backward_cpu(const MatchedBoxes<T>& boxes, const T* dy, T* dp, const IouLoss<T>& iou,
                           const T* normalizer) {
  const T scale = T(double(*dy) / double(*normalizer));
  parallel_for(boxes.n, chunk_boxes, [=](int64_t begin, int64_t end) {
    std::fill(dp + begin * 4, dp + end * 4, T(0));
    for (int64_t i = begin; i < end; ++i) {
      if (boxes.labels[i] < 0) continue;
      const auto of = boxes.at(iou, i);
      std::copy_n(std::array{scale * of.ty, scale * of.tx, scale * of.th, scale * of.tw}.begin(), 4,
                  dp + i * 4);
    }
  });
}

template <class T>
FocalLoss<T> focal_of(const FocalLossOptions& o) {
  return {T(o.alpha), T(o.gamma), T(o.label_smoothing)};
}

// `normalizer` is one positive number in the type that the loss of x is computed in; its value is checked
// only on the CPU.
void check_normalizer(const char* op, const Tensor& normalizer, const Tensor& x) {
  require(normalizer.numel() == 1 && normalizer.dtype() == accumulator_dtype(x.dtype()),
          "[{}] the normalizer must be one number of {}, got {} of {}", op, accumulator_dtype(x.dtype()),
          normalizer.dtype(), normalizer.shape());
  require_no_gradient(op, "the normalizer", normalizer);
  if (normalizer.device() == Device::cpu && !is_dry_run())
    require(normalizer.item() > 0, "[{}] normalizer {} must be positive", op, normalizer.item());
}

Tensor normalizer_of(double value, const Tensor& x) {
  return full({}, value, accumulator_dtype(x.dtype()), x.device());
}

}  // namespace

Tensor focal_loss(const Tensor& logits, const Tensor& targets, const Tensor& normalizer,
                  const FocalLossOptions& options, const Tensor& class_weights) {
  require(logits.rank() >= 1 && logits.size(-1) > 0 && targets.dtype() == DType::int32 &&
              targets.numel() * logits.size(-1) == logits.numel(),
          "[focal_loss] logits {} of K classes need one int32 target per anchor, got {} of {}",
          logits.shape(), targets.dtype(), targets.shape());
  require(options.gamma >= 0 && options.label_smoothing >= 0 && options.label_smoothing < 1,
          "[focal_loss] gamma {} must be 0 or more, label smoothing {} in [0, 1)", options.gamma,
          options.label_smoothing);
  require_one_device("focal_loss", {logits, targets, normalizer, class_weights});
  check_class_weights("focal_loss", class_weights, logits);
  check_normalizer("focal_loss", normalizer, logits);
  const int64_t classes = logits.size(-1), anchors = targets.numel();
  const int32_t* target = targets.data<int32_t>();
  for (int64_t a = 0; a < anchors && targets.device() == Device::cpu && !is_dry_run(); ++a)
    require(target[a] >= ignored_target && target[a] < classes,
            "[focal_loss] target {} of anchor {} is not a label of 0 to {}, -1 (background) or -2 (ignored)",
            target[a], a, classes - 1);
  Tensor loss({}, accumulator_dtype(logits.dtype()), logits.device());
  // The same pass computes it, because it needs most of it anyway.
  const Tensor gradient = logits.requires_grad() && grad_enabled() ? empty_like(logits) : Tensor();
  with_compute_dtype(logits, "focal_loss", [&]<class T>() {
    on<T>(logits.device(), focal_loss_cpu<Accumulator<T>>, cuda::focal_loss<T>)(
        logits.data<T>(), target, class_weights_or_null<Accumulator<T>>(class_weights),
        loss.data<Accumulator<T>>(), gradient.defined() ? gradient.data<T>() : nullptr,
        focal_of<Accumulator<T>>(options), normalizer.data<Accumulator<T>>(), anchors, classes);
  });
  return record(loss, "focal_loss", {logits}, [gradient](const Tensor& dy) -> Tensors {
    with_compute_dtype(gradient, "focal_loss", [&]<class T>() {
      on<T>(gradient.device(), scale_gradient_cpu<Accumulator<T>>, cuda::scale_gradient<T>)(
          gradient.data<T>(), dy.data<Accumulator<T>>(), gradient.numel());
    });
    return {gradient};
  });
}

Tensor focal_loss(const Tensor& logits, const Tensor& targets, double normalizer,
                  const FocalLossOptions& options, const Tensor& class_weights) {
  require(normalizer > 0, "[focal_loss] normalizer {} must be positive", normalizer);
  return focal_loss(logits, targets, normalizer_of(normalizer, logits), options, class_weights);
}

Tensor huber_loss(const Tensor& predictions, const Tensor& targets, const Tensor& normalizer, double delta) {
  require(predictions.shape() == targets.shape() && accumulator_dtype(predictions.dtype()) == targets.dtype(),
          "[huber_loss] predictions are {} of {}, targets {} of {}: they must match", predictions.dtype(),
          predictions.shape(), targets.dtype(), targets.shape());
  require(delta > 0, "[huber_loss] delta {} must be positive", delta);
  require_one_device("huber_loss", {predictions, targets, normalizer});
  require_no_gradient("huber_loss", "the tensor of targets", targets);
  check_normalizer("huber_loss", normalizer, predictions);
  Tensor loss({}, targets.dtype(), predictions.device());
  const int64_t n = predictions.numel();
  with_compute_dtype(predictions, "huber_loss", [&]<class T>() {
    on<T>(predictions.device(), huber_loss_cpu<Accumulator<T>>, cuda::huber_loss<T>)(
        predictions.data<T>(), targets.data<Accumulator<T>>(), loss.data<Accumulator<T>>(),
        HuberLoss<Accumulator<T>>{Accumulator<T>(delta)}, normalizer.data<Accumulator<T>>(), n);
  });
  return record(loss, "huber_loss", {predictions},
                [p = predictions.detach(), t = targets.detach(), normalizer = normalizer.detach(), delta,
                 n](const Tensor& dy) -> Tensors {
                  Tensor dp = empty_like(p);
                  with_compute_dtype(p, "huber_loss", [&]<class T>() {
                    on<T>(p.device(), huber_loss_backward_cpu<Accumulator<T>>, cuda::huber_loss_backward<T>)(
                        p.data<T>(), t.data<Accumulator<T>>(), dy.data<Accumulator<T>>(), dp.data<T>(),
                        HuberLoss<Accumulator<T>>{Accumulator<T>(delta)}, normalizer.data<Accumulator<T>>(),
                        n);
                  });
                  return {dp};
                });
}

Tensor huber_loss(const Tensor& predictions, const Tensor& targets, double normalizer, double delta) {
  require(normalizer > 0, "[huber_loss] normalizer {} must be positive", normalizer);
  return huber_loss(predictions, targets, normalizer_of(normalizer, predictions), delta);
}

Tensor iou_loss(const Tensor& predictions, const Tensor& targets, const Tensor& labels, const Tensor& anchors,
                const Tensor& normalizer, IouLossKind kind) {
  const DType real = accumulator_dtype(predictions.dtype());
  require(predictions.shape() == targets.shape() && predictions.rank() >= 1 && predictions.size(-1) == 4 &&
              targets.dtype() == real,
          "[iou_loss] predictions are {} of {}, targets {} of {}: they must match, with four numbers per box",
          predictions.dtype(), predictions.shape(), targets.dtype(), targets.shape());
  require(labels.dtype() == DType::int32 && labels.numel() * 4 == predictions.numel(),
          "[iou_loss] predictions {} need one int32 label per box, got {} of {}", predictions.shape(),
          labels.dtype(), labels.shape());
  require(anchors.dtype() == real && anchors.rank() == 2 && anchors.size(1) == 4 && anchors.size(0) > 0 &&
              labels.numel() % anchors.size(0) == 0,
          "[iou_loss] anchors are {} of {}: they must be {} of anchors x 4, for whole images of the {} boxes",
          anchors.dtype(), anchors.shape(), real, labels.numel());
  require_one_device("iou_loss", {predictions, targets, labels, anchors, normalizer});
  require_no_gradient("iou_loss", "the tensor of targets", targets);
  require_no_gradient("iou_loss", "the tensor of anchors", anchors);
  check_normalizer("iou_loss", normalizer, predictions);
  // Detached: what the backward pass keeps must not hold the predictions' graph.
  const auto boxes = [p = predictions.detach(), t = targets.detach(), labels,
                      a = anchors.detach()]<class T>(T) -> MatchedBoxes<T> {
    return {p.data<T>(),
            t.data<Accumulator<T>>(),
            labels.data<int32_t>(),
            a.data<Accumulator<T>>(),
            labels.numel(),
            a.size(0)};
  };
  Tensor loss({}, real, predictions.device());
  with_compute_dtype(predictions, "iou_loss", [&]<class T>() {
    on<T>(predictions.device(), iou_loss_cpu<Accumulator<T>>, cuda::iou_loss<T>)(
        boxes(T()), loss.data<Accumulator<T>>(), IouLoss<Accumulator<T>>{kind},
        normalizer.data<Accumulator<T>>());
  });
  return record(
      loss, "iou_loss", {predictions},
      [boxes, p = predictions.detach(), normalizer = normalizer.detach(), kind](const Tensor& dy) -> Tensors {
        Tensor dp = empty_like(p);
        with_compute_dtype(p, "iou_loss", [&]<class T>() {
          on<T>(p.device(), iou_loss_backward_cpu<Accumulator<T>>, cuda::iou_loss_backward<T>)(
              boxes(T()), dy.data<Accumulator<T>>(), dp.data<T>(), IouLoss<Accumulator<T>>{kind},
              normalizer.data<Accumulator<T>>());
        });
        return {dp};
      });
}

Tensor iou_loss(const Tensor& predictions, const Tensor& targets, const Tensor& labels, const Tensor& anchors,
                double normalizer, IouLossKind kind) {
  require(normalizer > 0, "[iou_loss] normalizer {} must be positive", normalizer);
  return iou_loss(predictions, targets, labels, anchors, normalizer_of(normalizer, predictions), kind);
}

}  // namespace fovea
