#include "ops/detection_loss.h"

#include <cmath>

#include "core/parallel.h"
#include "ops/dispatch.h"

namespace fovea {
namespace {

constexpr int64_t chunk_elements = 4096;

// Calls f(chunk, first element, count, positive, counted) for pieces of whole anchors, with each element's
// 0/1 target and whether it counts written out, so that the arithmetic is one flat loop however few classes
// there are.
template <class T, class F>
void for_target_chunks(const int32_t* targets, int64_t anchors, int64_t classes, F&& f) {
  parallel_chunks(anchors, std::max<int64_t>(1, chunk_elements / classes),
                  [&](int64_t index, int64_t begin, int64_t end) {
                    std::vector<T> positive(size_t((end - begin) * classes)),
                        counted(size_t((end - begin) * classes), T(1));
                    for (int64_t a = begin; a < end; ++a) {
                      T* row = positive.data() + (a - begin) * classes;
                      if (targets[a] >= 0) row[targets[a]] = T(1);
                      if (targets[a] == ignored_target)
                        std::fill_n(counted.data() + (a - begin) * classes, classes, T(0));
                    }
                    f(index, begin * classes, (end - begin) * classes, positive.data(), counted.data());
                  });
}

double ordered_sum(const std::vector<double>& partial) {
  double sum = 0;
  for (double value : partial) sum += value;
  return sum;
}

template <class T>
void focal_loss_cpu(const T* x, const int32_t* targets, T* loss, const FocalLoss<T>& focal, double scale,
                    int64_t anchors, int64_t classes) {
  std::vector<double> partial(size_t(chunk_count(anchors, std::max<int64_t>(1, chunk_elements / classes))));
  for_target_chunks<T>(targets, anchors, classes,
                       [&](int64_t index, int64_t first, int64_t count, const T* positive, const T* counted) {
                         // Written out, then summed: the compiler vectorises the two loops, but not both in
                         // one.
                         std::vector<T> values(static_cast<size_t>(count));
#pragma omp simd
                         for (int64_t i = 0; i < count; ++i)
                           values[size_t(i)] = focal.value(x[first + i], positive[i]) * counted[i];
                         T sum = 0;
#pragma omp simd reduction(+ : sum)
                         for (int64_t i = 0; i < count; ++i) sum += values[size_t(i)];
                         partial[size_t(index)] = double(sum);
                       });
  *loss = T(ordered_sum(partial) * scale);
}

template <class T>
void focal_loss_backward_cpu(const T* x, const int32_t* targets, T* dx, const FocalLoss<T>& focal, T scale,
                             int64_t anchors, int64_t classes) {
  for_target_chunks<T>(targets, anchors, classes,
                       [&](int64_t, int64_t first, int64_t count, const T* positive, const T* counted) {
#pragma omp simd
                         for (int64_t i = 0; i < count; ++i)
                           dx[first + i] = scale * counted[i] * focal.derivative(x[first + i], positive[i]);
                       });
}

template <class T>
T huber_value(T prediction, T target, T delta) {
  const T e = std::abs(prediction - target), q = e < delta ? e : delta;
  return target != T(0) ? T(0.5) * q * q + delta * (e - q) : T(0);
}

template <class T>
void huber_loss_cpu(const T* p, const T* t, T* loss, T delta, double scale, int64_t n) {
  std::vector<double> partial(size_t(chunk_count(n, chunk_elements)));
  parallel_chunks(n, chunk_elements, [&](int64_t index, int64_t begin, int64_t end) {
    T sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = begin; i < end; ++i) sum += huber_value(p[i], t[i], delta);
    partial[size_t(index)] = double(sum);
  });
  *loss = T(ordered_sum(partial) * scale);
}

template <class T>
void huber_loss_backward_cpu(const T* p, const T* t, T* dp, T delta, T scale, int64_t n) {
  parallel_for(n, chunk_elements, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const T e = p[i] - t[i], clipped = e > delta ? delta : (e < -delta ? -delta : e);
      dp[i] = t[i] != T(0) ? scale * clipped : T(0);
    }
  });
}

template <class T>
FocalLoss<T> focal_of(const FocalLossOptions& o) {
  return {T(o.alpha), T(o.gamma), T(o.label_smoothing)};
}

}  // namespace

Tensor focal_loss(const Tensor& logits, const Tensor& targets, double normalizer,
                  const FocalLossOptions& options) {
  require(logits.rank() >= 1 && logits.size(-1) > 0 && targets.dtype() == DType::int32 &&
              targets.numel() * logits.size(-1) == logits.numel(),
          "[focal_loss] logits {} of K classes need one int32 target an anchor, got {} of {}", logits.shape(),
          targets.dtype(), targets.shape());
  require(normalizer > 0 && options.gamma >= 0 && options.label_smoothing >= 0 && options.label_smoothing < 1,
          "[focal_loss] normalizer {} and gamma {} must be positive, label smoothing {} in [0, 1)",
          normalizer, options.gamma, options.label_smoothing);
  const int64_t classes = logits.size(-1), anchors = targets.numel();
  const int32_t* target = targets.data<int32_t>();
  for (int64_t a = 0; a < anchors; ++a)
    require(target[a] >= ignored_target && target[a] < classes,
            "[focal_loss] target {} of anchor {} is not a label of 0 to {}, -1 (background) or -2 (ignored)",
            target[a], a, classes - 1);
  Tensor loss({}, logits.dtype(), logits.device());
  with_float_dtype(logits.dtype(), "focal_loss", [&]<class T>() {
    on(logits.device(), focal_loss_cpu<T>)(logits.data<T>(), target, loss.data<T>(), focal_of<T>(options),
                                           1 / normalizer, anchors, classes);
  });
  return record(loss, "focal_loss", {logits},
                [logits = logits.detach(), targets, normalizer, options, anchors,
                 classes](const Tensor& dy) -> Tensors {
                  Tensor dx = empty_like(logits);
                  with_float_dtype(logits.dtype(), "focal_loss", [&]<class T>() {
                    on(logits.device(), focal_loss_backward_cpu<T>)(
                        logits.data<T>(), targets.data<int32_t>(), dx.data<T>(), focal_of<T>(options),
                        T(dy.item() / normalizer), anchors, classes);
                  });
                  return {dx};
                });
}

Tensor huber_loss(const Tensor& predictions, const Tensor& targets, double normalizer, double delta) {
  require(predictions.shape() == targets.shape() && predictions.dtype() == targets.dtype(),
          "[huber_loss] predictions are {} of {}, targets {} of {}: they must be alike", predictions.dtype(),
          predictions.shape(), targets.dtype(), targets.shape());
  require(normalizer > 0 && delta > 0, "[huber_loss] normalizer {} and delta {} must be positive", normalizer,
          delta);
  Tensor loss({}, predictions.dtype(), predictions.device());
  const int64_t n = predictions.numel();
  with_float_dtype(predictions.dtype(), "huber_loss", [&]<class T>() {
    on(predictions.device(), huber_loss_cpu<T>)(predictions.data<T>(), targets.data<T>(), loss.data<T>(),
                                                T(delta), 1 / (4 * normalizer), n);
  });
  return record(
      loss, "huber_loss", {predictions},
      [p = predictions.detach(), t = targets.detach(), normalizer, delta, n](const Tensor& dy) -> Tensors {
        Tensor dp = empty_like(p);
        with_float_dtype(p.dtype(), "huber_loss", [&]<class T>() {
          on(p.device(), huber_loss_backward_cpu<T>)(p.data<T>(), t.data<T>(), dp.data<T>(), T(delta),
                                                     T(dy.item() / (4 * normalizer)), n);
        });
        return {dp};
      });
}

}  // namespace fovea
