#include "ops/detection_loss.h"

#include "core/parallel.h"
#include "ops/support/dispatch.h"

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

// The losses of `count` logits, and their gradients times `scale` where GRADIENT.
template <bool THREE_HALVES, bool GRADIENT, class T>
void focal_losses(const FocalLoss<T> focal, const T* x, const T* positive, const T* counted, T scale,
                  T* losses, T* dx, int64_t count) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const auto of = focal.template at<THREE_HALVES>(x[i], positive[i]);
    losses[i] = of.loss * counted[i];
    if constexpr (GRADIENT) dx[i] = scale * counted[i] * of.derivative;
  }
}

// dx: the gradient, or null
template <class T>
void focal_loss_cpu(const T* x, const int32_t* targets, T* loss, T* dx, const FocalLoss<T>& focal,
                    const T* normalizer, int64_t anchors, int64_t classes) {
  std::vector<double> partial(size_t(chunk_count(anchors, std::max<int64_t>(1, chunk_elements / classes))));
  const T scale = T(1 / double(*normalizer));
  for_target_chunks<T>(targets, anchors, classes,
                       [&](int64_t index, int64_t first, int64_t count, const T* positive, const T* counted) {
                         // Written out, then summed: the compiler vectorises the two loops, but not both in
                         // one. In double: thousands of easy anchors, one after another, would cost a float's
                         // last digits where a build does not vectorise the sum.
                         std::vector<T> losses(static_cast<size_t>(count));
                         focal.with_gamma([&]<bool THREE_HALVES>() {
                           if (dx)
                             focal_losses<THREE_HALVES, true>(focal, x + first, positive, counted, scale,
                                                              losses.data(), dx + first, count);
                           else
                             focal_losses<THREE_HALVES, false>(focal, x + first, positive, counted, scale,
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

template <class T>
FocalLoss<T> focal_of(const FocalLossOptions& o) {
  return {T(o.alpha), T(o.gamma), T(o.label_smoothing)};
}

// `normalizer` is one positive number in the type that the loss of x is computed in; its value is known on
// the CPU only.
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
                  const FocalLossOptions& options) {
  require(logits.rank() >= 1 && logits.size(-1) > 0 && targets.dtype() == DType::int32 &&
              targets.numel() * logits.size(-1) == logits.numel(),
          "[focal_loss] logits {} of K classes need one int32 target an anchor, got {} of {}", logits.shape(),
          targets.dtype(), targets.shape());
  require(options.gamma >= 0 && options.label_smoothing >= 0 && options.label_smoothing < 1,
          "[focal_loss] gamma {} must be positive, label smoothing {} in [0, 1)", options.gamma,
          options.label_smoothing);
  require_one_device("focal_loss", {logits, targets, normalizer});
  check_normalizer("focal_loss", normalizer, logits);
  const int64_t classes = logits.size(-1), anchors = targets.numel();
  const int32_t* target = targets.data<int32_t>();
  for (int64_t a = 0; a < anchors && targets.device() == Device::cpu && !is_dry_run(); ++a)
    require(target[a] >= ignored_target && target[a] < classes,
            "[focal_loss] target {} of anchor {} is not a label of 0 to {}, -1 (background) or -2 (ignored)",
            target[a], a, classes - 1);
  Tensor loss({}, accumulator_dtype(logits.dtype()), logits.device());
  // In the same pass, which computes most of it anyway.
  const Tensor gradient = logits.requires_grad() && grad_enabled() ? empty_like(logits) : Tensor();
  with_compute_dtype(logits, "focal_loss", [&]<class T>() {
    on<T>(logits.device(), focal_loss_cpu<Accumulator<T>>, cuda::focal_loss<T>)(
        logits.data<T>(), target, loss.data<Accumulator<T>>(),
        gradient.defined() ? gradient.data<T>() : nullptr, focal_of<Accumulator<T>>(options),
        normalizer.data<Accumulator<T>>(), anchors, classes);
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
                  const FocalLossOptions& options) {
  require(normalizer > 0, "[focal_loss] normalizer {} must be positive", normalizer);
  return focal_loss(logits, targets, normalizer_of(normalizer, logits), options);
}

Tensor huber_loss(const Tensor& predictions, const Tensor& targets, const Tensor& normalizer, double delta) {
  require(predictions.shape() == targets.shape() && accumulator_dtype(predictions.dtype()) == targets.dtype(),
          "[huber_loss] predictions are {} of {}, targets {} of {}: they must be alike", predictions.dtype(),
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

}  // namespace fovea
