// The losses of a detector, one number each. Bytes moved: focal loss reads n sizeof(T) logits and 4 bytes an
// anchor, its backward pass the same again and writes n sizeof(T); Huber loss reads n (sizeof(T) +
// sizeof(Accumulator<T>)), its backward pass writes n sizeof(T) more. A logit costs three exponentials, by
// estimate (not yet measured) about as long as its bytes take on an H100.
#include "cuda/kernels/detection_loss.h"

#include <algorithm>
#include <cmath>

#include "cuda/device/grid.h"
#include "cuda/device/reduce.h"
#include "cuda/device/vector.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"

namespace fovea::cuda {
namespace {

// f(positive) for class k of an anchor, 0 where it is ignored, NaN where the target is no target.
template <class T, class F>
__device__ T for_target(int32_t target, int64_t k, int64_t classes, F&& f) {
  if (target == ignored_target) return T(0);
  if (target < ignored_target || target >= classes) return T(NAN);
  return f(target == k ? T(1) : T(0));
}

// A block's share of the sum, in double from the threads on: their own sums are of a few hundred numbers
// each.
template <class T>
__device__ void store_partial(double* partial, T sum) {
  const double total = block_sum(double(sum));
  if (threadIdx.x == 0) partial[blockIdx.x] = total;
}

// *loss = the sum of the partial sums / (factor *normalizer), by one block.
template <class R>
__global__ void finish_loss(const double* partial, int count, R* loss, double factor, const R* normalizer) {
  double sum = 0;
  for (int i = int(threadIdx.x); i < count; i += int(blockDim.x)) sum += partial[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *loss = R(sum / (factor * double(*normalizer)));
}

// One logit a thread: the definition.
template <class T>
__global__ void focal_loss_naive(const T* x, const int32_t* targets, double* partial,
                                 FocalLoss<Accumulator<T>> focal, int64_t n, int64_t classes) {
  double sum = 0;
  for (int64_t i : grid_stride(n)) {
    const Accumulator<T> logit = Accumulator<T>(x[i]);
    sum += double(
        for_target<Accumulator<T>>(targets[i / classes], i % classes, classes,
                                   [&](Accumulator<T> positive) { return focal.value(logit, positive); }));
  }
  store_partial(partial, sum);
}

template <class T>
__global__ void focal_loss_backward_naive(const T* x, const int32_t* targets, const Accumulator<T>* dy, T* dx,
                                          FocalLoss<Accumulator<T>> focal, const Accumulator<T>* normalizer,
                                          int64_t n, int64_t classes) {
  const Accumulator<T> scale = *dy / *normalizer;
  for (int64_t i : grid_stride(n)) {
    const Accumulator<T> logit = Accumulator<T>(x[i]);
    dx[i] = T(scale * for_target<Accumulator<T>>(
                          targets[i / classes], i % classes, classes,
                          [&](Accumulator<T> positive) { return focal.derivative(logit, positive); }));
  }
}

// The packs of this thread, each with its first logit's anchor and class: for (...; at.valid(); at.next()).
// Packs run on over the ends of anchors, since neither 90 nor 20 classes are a multiple of eight. The two
// divisions by the number of classes are made once, not for each pack: a step is a whole number of anchors
// and some classes.
template <int size>
class PackedLogits {
 public:
  __device__ PackedLogits(int64_t packs, int64_t classes) : packs_(packs), classes_(classes) {
    const int64_t stride = int64_t(gridDim.x) * blockDim.x;
    pack = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    step_ = stride;
    step_anchors_ = stride * size / classes;
    step_classes_ = stride * size - step_anchors_ * classes;
    anchor = pack * size / classes;
    first_class = pack * size - anchor * classes;
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
  // Calls f(position in the pack, target, class) for its logits; a target is read once for each anchor.
  template <class F>
  __device__ void for_each(const int32_t* targets, F&& f) const {
    int64_t a = anchor, k = first_class;
    int32_t target = targets[a];
    for (int i = 0; i < size; ++i) {
      if (k == classes_) {
        k = 0;
        target = targets[++a];
      }
      f(i, target, k++);
    }
  }

  int64_t pack, anchor, first_class;

 private:
  int64_t packs_, classes_, step_, step_anchors_, step_classes_;
};

template <class T>
__global__ void focal_loss_packed(const T* x, const int32_t* targets, double* partial,
                                  FocalLoss<Accumulator<T>> focal, int64_t packs, int64_t classes) {
  constexpr int size = pack_size<T>;
  Accumulator<T> sum = 0;
  for (PackedLogits<size> at(packs, classes); at.valid(); at.next()) {
    const Pack<T, size> logits = load_pack<size>(x + at.pack * size);
    Accumulator<T> of_pack = 0;
    at.for_each(targets, [&](int i, int32_t target, int64_t k) {
      of_pack += for_target<Accumulator<T>>(target, k, classes, [&](Accumulator<T> positive) {
        return focal.value(Accumulator<T>(logits.value[i]), positive);
      });
    });
    sum += of_pack;
  }
  store_partial(partial, sum);
}

template <class T>
__global__ void focal_loss_backward_packed(const T* x, const int32_t* targets, const Accumulator<T>* dy,
                                           T* dx, FocalLoss<Accumulator<T>> focal,
                                           const Accumulator<T>* normalizer, int64_t packs, int64_t classes) {
  constexpr int size = pack_size<T>;
  const Accumulator<T> scale = *dy / *normalizer;
  for (PackedLogits<size> at(packs, classes); at.valid(); at.next()) {
    const Pack<T, size> logits = load_pack<size>(x + at.pack * size);
    Pack<T, size> gradient;
    at.for_each(targets, [&](int i, int32_t target, int64_t k) {
      gradient.value[i] =
          T(scale * for_target<Accumulator<T>>(target, k, classes, [&](Accumulator<T> positive) {
              return focal.derivative(Accumulator<T>(logits.value[i]), positive);
            }));
    });
    store_pack(dx + at.pack * size, gradient);
  }
}

// One number a thread: the definition.
template <class T>
__global__ void huber_loss_naive(const T* p, const Accumulator<T>* t, double* partial,
                                 HuberLoss<Accumulator<T>> huber, int64_t n) {
  double sum = 0;
  for (int64_t i : grid_stride(n)) sum += double(huber.value(Accumulator<T>(p[i]), t[i]));
  store_partial(partial, sum);
}

template <class T>
__global__ void huber_loss_backward_naive(const T* p, const Accumulator<T>* t, const Accumulator<T>* dy,
                                          T* dp, HuberLoss<Accumulator<T>> huber,
                                          const Accumulator<T>* normalizer, int64_t n) {
  const Accumulator<T> scale = *dy / (4 * *normalizer);
  for (int64_t i : grid_stride(n)) dp[i] = T(scale * huber.derivative(Accumulator<T>(p[i]), t[i]));
}

// One box a thread, 16 bytes of float.
template <class T>
__global__ void huber_loss_boxes(const T* p, const Accumulator<T>* t, double* partial,
                                 HuberLoss<Accumulator<T>> huber, int64_t boxes) {
  Accumulator<T> sum = 0;
  for (int64_t i : grid_stride(boxes)) {
    const Pack<T, 4> predictions = load_pack<4>(p + i * 4);
    const Pack<Accumulator<T>, 4> targets = load_pack<4>(t + i * 4);
    Accumulator<T> of_box = 0;
    for (int k = 0; k < 4; ++k) of_box += huber.value(Accumulator<T>(predictions.value[k]), targets.value[k]);
    sum += of_box;
  }
  store_partial(partial, sum);
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

// For n pieces of work: four a thread, to pay for what it does but once, until there are eight blocks for
// each of an H100's 132 multiprocessors; more would only make more partial sums.
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
void focal_loss(const T* x, const int32_t* targets, Accumulator<T>* loss,
                const FocalLoss<Accumulator<T>>& focal, const Accumulator<T>* normalizer, int64_t anchors,
                int64_t classes) {
  const int64_t n = anchors * classes, packs = n / pack_size<T>;
  const bool packed = packs_fit<T>(n);
  const LossGrid grid(packed ? packs : n);
  Workspace<double> partial(grid.blocks);
  if (packed)
    launch(focal_loss_packed<T>, {grid}, x, targets, partial.data(), focal, packs, classes);
  else
    launch(focal_loss_naive<T>, {grid}, x, targets, partial.data(), focal, n, classes);
  launch(finish_loss<Accumulator<T>>, {1, block_threads}, partial.data(), int(grid.blocks), loss, 1.0,
         normalizer);
}

template <class T>
void focal_loss_backward(const T* x, const int32_t* targets, const Accumulator<T>* dy, T* dx,
                         const FocalLoss<Accumulator<T>>& focal, const Accumulator<T>* normalizer,
                         int64_t anchors, int64_t classes) {
  const int64_t n = anchors * classes, packs = n / pack_size<T>;
  if (packs_fit<T>(n))
    launch(focal_loss_backward_packed<T>, {LossGrid(packs)}, x, targets, dy, dx, focal, normalizer, packs,
           classes);
  else
    launch(focal_loss_backward_naive<T>, {LossGrid(n)}, x, targets, dy, dx, focal, normalizer, n, classes);
}

template <class T>
void huber_loss(const T* p, const Accumulator<T>* t, Accumulator<T>* loss,
                const HuberLoss<Accumulator<T>>& huber, const Accumulator<T>* normalizer, int64_t n) {
  const LossGrid grid(n % 4 == 0 ? n / 4 : n);
  Workspace<double> partial(grid.blocks);
  if (n % 4 == 0)
    launch(huber_loss_boxes<T>, {grid}, p, t, partial.data(), huber, n / 4);
  else
    launch(huber_loss_naive<T>, {grid}, p, t, partial.data(), huber, n);
  launch(finish_loss<Accumulator<T>>, {1, block_threads}, partial.data(), int(grid.blocks), loss, 4.0,
         normalizer);
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

#define INSTANTIATE(T)                                                                                     \
  template void focal_loss<T>(const T*, const int32_t*, Accumulator<T>*, const FocalLoss<Accumulator<T>>&, \
                              const Accumulator<T>*, int64_t, int64_t);                                    \
  template void focal_loss_backward<T>(const T*, const int32_t*, const Accumulator<T>*, T*,                \
                                       const FocalLoss<Accumulator<T>>&, const Accumulator<T>*, int64_t,   \
                                       int64_t);                                                           \
  template void huber_loss<T>(const T*, const Accumulator<T>*, Accumulator<T>*,                            \
                              const HuberLoss<Accumulator<T>>&, const Accumulator<T>*, int64_t);           \
  template void huber_loss_backward<T>(const T*, const Accumulator<T>*, const Accumulator<T>*, T*,         \
                                       const HuberLoss<Accumulator<T>>&, const Accumulator<T>*, int64_t);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(bfloat16)

}  // namespace fovea::cuda
