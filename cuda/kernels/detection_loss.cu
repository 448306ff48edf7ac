// The losses of a detector, one number each. Bytes moved: focal loss reads n sizeof(T) logits and 4 bytes per
// anchor, and writes n sizeof(T) for the gradient; Huber loss reads n (sizeof(T) + sizeof(Accumulator<T>)),
// its backward pass reads the same again and writes n sizeof(T); an IoU loss reads 4 bytes per anchor and the
// boxes of the few that have an object, its backward pass reads the same again and writes n sizeof(T). Focal
// loss with its gradient in one pass evaluates an exponential, a reciprocal square root and a polynomial once
// per logit.
#include "cuda/kernels/detection_loss.h"

#include <algorithm>
#include <cmath>

#include "cuda/device/grid.h"
#include "cuda/device/last_block.h"
#include "cuda/device/reduce.h"
#include "cuda/device/unroll.h"
#include "cuda/device/vector.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/stream.h"

namespace fovea::cuda {
namespace {

// 1 for an anchor that counts, 0 for an ignored one, NaN for an invalid target.
template <class R>
__device__ R weight_of(int32_t target, int32_t classes) {
  return target == ignored_target ? R(0) : target < ignored_target || target >= classes ? R(NAN) : R(1);
}

// *loss = the sum over all blocks / (factor *normalizer).
template <class R>
struct LossSum {
  R* partial;  // (blocks)
  unsigned* ticket;
  R* loss;
  R factor;
  const R* normalizer;

  // All threads of all blocks call it, each with its own sum.
  __device__ void finish(R of_thread) const {
    R sum = block_sum(of_thread);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
    if (!is_last_block(ticket, gridDim.x)) return;
    sum = 0;
    for (unsigned i = threadIdx.x; i < gridDim.x; i += blockDim.x) sum += partial[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) *loss = sum / (factor * *normalizer);
  }
};

// One logit per thread: the definition, and the kernel for class weights. dx: the gradient, or null.
template <class T>
__global__ void focal_loss_naive(const T* x, const int32_t* targets, const Accumulator<T>* class_weights,
                                 T* dx, FocalLoss<Accumulator<T>> focal, LossSum<Accumulator<T>> loss,
                                 int64_t n, int32_t classes) {
  using R = Accumulator<T>;
  R sum = 0;
  for (int64_t i : grid_stride(n)) {
    const int32_t target = targets[i / classes];
    const auto of = focal.template at<false, T>(R(x[i]), target == i % classes ? R(1) : R(0));
    const R weight = weight_of<R>(target, classes) * (class_weights ? class_weights[i % classes] : R(1));
    sum += weight * of.loss;
    if (dx) dx[i] = T(weight / *loss.normalizer * of.derivative);
  }
  loss.finish(sum);
}

// The packs of this thread, each with its first logit's anchor and class: for (...; at.valid(); at.next()).
// Packs extend over the ends of anchors, because neither 90 nor 20 classes are a multiple of eight. The two
// divisions by the number of classes are made once instead of for each pack: a step is a whole number of
// anchors and some classes.
// WIDE: there are at least as many classes as numbers in a pack, so that it belongs to two anchors at most.
template <int size, bool WIDE>
class PackedLogits {
 public:
  __device__ PackedLogits(int64_t packs, int32_t classes) : packs_(packs), classes_(classes) {
    step_ = int64_t(gridDim.x) * blockDim.x;
    pack = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    step_anchors_ = step_ * size / classes;
    step_classes_ = int32_t(step_ * size - step_anchors_ * classes);
    anchor = pack * size / classes;
    first_class = int32_t(pack * size - anchor * classes);
  }
  __device__ bool valid() const { return pack < packs_; }
  __device__ void next() {
    pack += step_;
    anchor += step_anchors_;
    first_class += step_classes_;
    if (first_class < classes_) return;
    first_class -= classes_;
    ++anchor;
  }
  // Calls f(position in the pack, whether the anchor has an object of this class, its weight) for the logits;
  // a target is read once for each anchor. If it knows that both anchors are background, as most are, it
  // calls negative(position) instead.
  template <class R, class F, class Negative>
  __device__ void for_each(const int32_t* targets, F&& f, Negative&& negative) const {
    if constexpr (WIDE) {
      const int32_t end = classes_ - first_class;  // where the first anchor's logits end in the pack
      const int32_t first = targets[anchor];
      int32_t second = first;
      if (end < size) second = targets[anchor + 1];
      if (first == background_target && second == background_target) {
        UNROLL for (int i = 0; i < size; ++i) { negative(i); }
        return;
      }
      EXPECT_SKIPPED(1);
      // In the pack's numbering, the positions of the two positives.
      const int32_t place = first - first_class, second_place = second + end;
      const R weight = weight_of<R>(first, classes_), second_weight = weight_of<R>(second, classes_);
      UNROLL for (int i = 0; i < size; ++i) {
        const bool of_first = i < end;
        f(i, i == (of_first ? place : second_place) ? R(1) : R(0), of_first ? weight : second_weight);
      }
      return;
    }
    int64_t a = anchor;
    int32_t k = first_class, target = targets[a];
    R weight = weight_of<R>(target, classes_);
    for (int i = 0; i < size; ++i) {
      if (k == classes_) {
        k = 0;
        target = targets[++a];
        weight = weight_of<R>(target, classes_);
      }
      f(i, target == k ? R(1) : R(0), weight);
      ++k;
    }
  }

  int64_t pack, anchor;
  int32_t first_class;

 private:
  int64_t packs_, step_, step_anchors_;
  int32_t classes_, step_classes_;
};

template <bool THREE_HALVES, bool GRADIENT, bool WIDE, class T>
__global__ void focal_loss_packed(const T* x, const int32_t* targets, T* dx, FocalLoss<Accumulator<T>> focal,
                                  LossSum<Accumulator<T>> loss, int64_t packs, int32_t classes) {
  using R = Accumulator<T>;
  constexpr int size = pack_size<T>;
  const R scale = GRADIENT ? R(1) / *loss.normalizer : R(0);
  R sum = 0;
  for (PackedLogits<size, WIDE> at(packs, classes); at.valid(); at.next()) {
    Pack<T, size> pack = load_pack<size>(x + at.pack * size);
    R of_pack = 0;
    at.template for_each<R>(
        targets,
        [&](int i, R positive, R weight) {
          const auto of = focal.template at<THREE_HALVES, T>(R(pack.value[i]), positive);
          of_pack += weight * of.loss;
          if constexpr (GRADIENT) pack.value[i] = T(weight * scale * of.derivative);
        },
        [&](int i) {
          const auto of = focal.template of_negative<THREE_HALVES, T>(R(pack.value[i]));
          of_pack += of.loss;
          if constexpr (GRADIENT) pack.value[i] = T(scale * of.derivative);
        });
    sum += of_pack;
    if constexpr (GRADIENT) store_pack(dx + at.pack * size, pack);
  }
  loss.finish(sum);
}

// Does nothing if the factor is 1, as when backward() is called on this loss itself.
template <class T>
__global__ void scale_unless_one(T* dx, const Accumulator<T>* factor, int64_t n) {
  const Accumulator<T> f = *factor;
  if (f == Accumulator<T>(1)) return;
  for (int64_t i : grid_stride(n)) dx[i] = T(f * Accumulator<T>(dx[i]));
}

// One number per thread: the definition.
template <class T>
__global__ void huber_loss_naive(const T* p, const Accumulator<T>* t, HuberLoss<Accumulator<T>> huber,
                                 LossSum<Accumulator<T>> loss, int64_t n) {
  Accumulator<T> sum = 0;
  for (int64_t i : grid_stride(n)) sum += huber.value(Accumulator<T>(p[i]), t[i]);
  loss.finish(sum);
}

template <class T>
__global__ void huber_loss_backward_naive(const T* p, const Accumulator<T>* t, const Accumulator<T>* dy,
                                          T* dp, HuberLoss<Accumulator<T>> huber,
                                          const Accumulator<T>* normalizer, int64_t n) {
  const Accumulator<T> scale = *dy / (4 * *normalizer);
  for (int64_t i : grid_stride(n)) dp[i] = T(scale * huber.derivative(Accumulator<T>(p[i]), t[i]));
}

// One box per thread, 16 bytes of float.
template <class T>
__global__ void huber_loss_boxes(const T* p, const Accumulator<T>* t, HuberLoss<Accumulator<T>> huber,
                                 LossSum<Accumulator<T>> loss, int64_t boxes) {
  Accumulator<T> sum = 0;
  for (int64_t i : grid_stride(boxes)) {
    const Pack<T, 4> predictions = load_pack<4>(p + i * 4);
    const Pack<Accumulator<T>, 4> targets = load_pack<4>(t + i * 4);
    Accumulator<T> of_box = 0;
    for (int k = 0; k < 4; ++k) of_box += huber.value(Accumulator<T>(predictions.value[k]), targets.value[k]);
    sum += of_box;
  }
  loss.finish(sum);
}

template <class T>
__global__ void huber_loss_backward_boxes(const T* p, const Accumulator<T>* t, const Accumulator<T>* dy,
                                          T* dp, HuberLoss<Accumulator<T>> huber,
                                          const Accumulator<T>* normalizer, int64_t boxes) {
  const Accumulator<T> scale = *dy / (4 * *normalizer);
  for (int64_t i : grid_stride(boxes)) {
    const Pack<T, 4> predictions = load_pack<4>(p + i * 4);
    const Pack<Accumulator<T>, 4> targets = load_pack<4>(t + i * 4);
    Pack<T, 4> gradient;
    for (int k = 0; k < 4; ++k)
      gradient.value[k] = T(scale * huber.derivative(Accumulator<T>(predictions.value[k]), targets.value[k]));
    store_pack(dp + i * 4, gradient);
  }
}

// MatchedBoxes::at() with one access for the four numbers of each array.
template <class T>
__device__ auto loss_at(const MatchedBoxes<T>& boxes, const IouLoss<Accumulator<T>>& iou, int64_t i) {
  using R = Accumulator<T>;
  const Pack<T, 4> c = load_pack<4>(boxes.codes + i * 4);
  const Pack<R, 4> target = load_pack<4>(boxes.targets + i * 4);
  const Pack<R, 4> anchor = load_pack<4>(boxes.anchor(i));
  return boxes.of(iou, c.value, target.value, anchor.value);
}

// One box per thread: neighbouring anchors share objects, so few warps have any work. iou_loss_boxes is also
// the definition.
template <class T>
__global__ void iou_loss_boxes(MatchedBoxes<T> boxes, IouLoss<Accumulator<T>> iou,
                               LossSum<Accumulator<T>> loss) {
  Accumulator<T> sum = 0;
  for (int64_t i : grid_stride(boxes.n))
    if (boxes.labels[i] >= 0) sum += loss_at(boxes, iou, i).loss;
  loss.finish(sum);
}

template <class T>
__global__ void iou_loss_backward_boxes(MatchedBoxes<T> boxes, const Accumulator<T>* dy, T* dp,
                                        IouLoss<Accumulator<T>> iou, const Accumulator<T>* normalizer) {
  const Accumulator<T> scale = *dy / *normalizer;
  for (int64_t i : grid_stride(boxes.n)) {
    Pack<T, 4> gradient{};
    if (boxes.labels[i] >= 0) {
      const auto of = loss_at(boxes, iou, i);
      gradient.value[0] = T(scale * of.ty);
      gradient.value[1] = T(scale * of.tx);
      gradient.value[2] = T(scale * of.th);
      gradient.value[3] = T(scale * of.tw);
    }
    store_pack(dp + i * 4, gradient);
  }
}

// For n pieces of work: four per thread, to pay for its fixed costs, until there are eight blocks for each of
// an H100's 132 multiprocessors; more would only make more partial sums.
struct LossGrid {
  int64_t n;
  unsigned blocks;

  explicit LossGrid(int64_t n_) : n(n_), blocks(std::clamp(grid_for(n_, 4 * block_threads).x, 1u, 1056u)) {}
  dim3 grid() const { return dim3(blocks); }
  dim3 block() const { return dim3(block_threads); }
  int64_t steps() const { return (n + blocks * block_threads - 1) / (blocks * block_threads); }
};

}  // namespace

template <class T>
void focal_loss(const T* x, const int32_t* targets, const Accumulator<T>* class_weights, Accumulator<T>* loss,
                T* dx, const FocalLoss<Accumulator<T>>& focal, const Accumulator<T>* normalizer,
                int64_t anchors, int64_t classes) {
  const int64_t n = anchors * classes, packs = n / pack_size<T>;
  const bool packed = packs_fit<T>(n) && !class_weights;
  const LossGrid grid(packed ? packs : n);
  const Workspace<Accumulator<T>> partial(grid.blocks);
  const LossSum<Accumulator<T>> sum{partial.data(), current_stream().tickets(1), loss, 1, normalizer};
  if (!packed)
    return launch(focal_loss_naive<T>, {grid}, x, targets, class_weights, dx, focal, sum, n,
                  int32_t(classes));
  focal.with_gamma([&]<bool THREE_HALVES>() {
    const bool wide = classes >= pack_size<T>;
    const auto kernel = dx     ? wide ? focal_loss_packed<THREE_HALVES, true, true, T>
                                      : focal_loss_packed<THREE_HALVES, true, false, T>
                            : wide ? focal_loss_packed<THREE_HALVES, false, true, T>
                               : focal_loss_packed<THREE_HALVES, false, false, T>;
    launch(kernel, {grid}, x, targets, dx, focal, sum, packs, int32_t(classes));
  });
}

template <class T>
void scale_gradient(T* dx, const Accumulator<T>* factor, int64_t n) {
  // In training the factor is 1, and only it is read.
  LaunchConfig config = LaunchConfig(LossGrid(n)).moves(sizeof *factor);
  config.steps = 0;
  launch(scale_unless_one<T>, config, dx, factor, n);
}

template <class T>
void huber_loss(const T* p, const Accumulator<T>* t, Accumulator<T>* loss,
                const HuberLoss<Accumulator<T>>& huber, const Accumulator<T>* normalizer, int64_t n) {
  const LossGrid grid(n % 4 == 0 ? n / 4 : n);
  const Workspace<Accumulator<T>> partial(grid.blocks);
  const LossSum<Accumulator<T>> sum{partial.data(), current_stream().tickets(1), loss, 4, normalizer};
  if (n % 4 == 0)
    launch(huber_loss_boxes<T>, {grid}, p, t, huber, sum, n / 4);
  else
    launch(huber_loss_naive<T>, {grid}, p, t, huber, sum, n);
}

template <class T>
void huber_loss_backward(const T* p, const Accumulator<T>* t, const Accumulator<T>* dy, T* dp,
                         const HuberLoss<Accumulator<T>>& huber, const Accumulator<T>* normalizer,
                         int64_t n) {
  if (n % 4 == 0)
    launch(huber_loss_backward_boxes<T>, {LossGrid(n / 4)}, p, t, dy, dp, huber, normalizer, n / 4);
  else
    launch(huber_loss_backward_naive<T>, {LossGrid(n)}, p, t, dy, dp, huber, normalizer, n);
}

template <class T>
void iou_loss(const MatchedBoxes<T>& boxes, Accumulator<T>* loss, const IouLoss<Accumulator<T>>& iou,
              const Accumulator<T>* normalizer) {
  const LossGrid grid(boxes.n);
  const Workspace<Accumulator<T>> partial(grid.blocks);
  const LossSum<Accumulator<T>> sum{partial.data(), current_stream().tickets(1), loss, 1, normalizer};
  launch(iou_loss_boxes<T>, {grid}, boxes, iou, sum);
}

template <class T>
void iou_loss_backward(const MatchedBoxes<T>& boxes, const Accumulator<T>* dy, T* dp,
                       const IouLoss<Accumulator<T>>& iou, const Accumulator<T>* normalizer) {
  launch(iou_loss_backward_boxes<T>, {LossGrid(boxes.n)}, boxes, dy, dp, iou, normalizer);
}

#define INSTANTIATE(T)                                                                                    \
  template void focal_loss<T>(const T*, const int32_t*, const Accumulator<T>*, Accumulator<T>*, T*,       \
                              const FocalLoss<Accumulator<T>>&, const Accumulator<T>*, int64_t, int64_t); \
  template void scale_gradient<T>(T*, const Accumulator<T>*, int64_t);                                    \
  template void huber_loss<T>(const T*, const Accumulator<T>*, Accumulator<T>*,                           \
                              const HuberLoss<Accumulator<T>>&, const Accumulator<T>*, int64_t);          \
  template void huber_loss_backward<T>(const T*, const Accumulator<T>*, const Accumulator<T>*, T*,        \
                                       const HuberLoss<Accumulator<T>>&, const Accumulator<T>*, int64_t); \
  template void iou_loss<T>(const MatchedBoxes<T>&, Accumulator<T>*, const IouLoss<Accumulator<T>>&,      \
                            const Accumulator<T>*);                                                       \
  template void iou_loss_backward<T>(const MatchedBoxes<T>&, const Accumulator<T>*, T*,                   \
                                     const IouLoss<Accumulator<T>>&, const Accumulator<T>*);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(bfloat16)

}  // namespace fovea::cuda
