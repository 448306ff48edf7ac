// Ladder: the focal loss of a detector's logits and its gradient, in float.
#include <cmath>

#include "cuda/device/grid.h"
#include "cuda/device/last_block.h"
#include "cuda/device/reduce.h"
#include "cuda/kernels/detection_loss.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/stream.h"
#include "examples/ladders/ladder.h"

using namespace fovea;

namespace {

constexpr int anchors = 256, classes = 90, logits = anchors * classes;
constexpr float alpha = 0.25f, gamma_ = 1.5f;

__global__ void probabilities(const float* x, float* p) {
  for (int64_t i : grid_stride(logits)) p[i] = sigmoid_of(x[i]);
}

// -alpha_t (1 - p_t)^gamma log(p_t), arXiv 1708.02002, equation 5
__global__ void losses(const float* p, const int32_t* targets, float* loss) {
  for (int64_t i : grid_stride(logits)) {
    const int32_t target = targets[i / classes];
    const bool positive = target == i % classes;
    const float of_truth = positive ? p[i] : 1 - p[i], weight = positive ? alpha : 1 - alpha;
    loss[i] = target == ignored_target ? 0 : -weight * std::pow(1 - of_truth, gamma_) * std::log(of_truth);
  }
}

// *total = the sum of n numbers, in one block
__global__ void total_of(const float* values, int n, float* total) {
  float sum = 0;
  for (int i = int(threadIdx.x); i < n; i += int(blockDim.x)) sum += values[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *total = sum;
}

__global__ void gradients(const float* p, const int32_t* targets, float* dx) {
  for (int64_t i : grid_stride(logits)) {
    const int32_t target = targets[i / classes];
    const bool positive = target == i % classes;
    const float of_truth = positive ? p[i] : 1 - p[i], weight = positive ? alpha : alpha - 1;
    const float slope = gamma_ * of_truth * std::log(of_truth) - (1 - of_truth);
    dx[i] = target == ignored_target ? 0 : weight * std::pow(1 - of_truth, gamma_) * slope;
  }
}

// Keeps the losses in registers, and stores only the sum of each block.
__global__ void block_losses(const float* x, const int32_t* targets, FocalLoss<float> focal, float* partial) {
  float sum = 0;
  for (int64_t i : grid_stride(logits)) {
    const int32_t target = targets[i / classes];
    const auto of = focal.at<true>(x[i], target == i % classes ? 1.0f : 0.0f);
    if (target != ignored_target) sum += of.loss;
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

__global__ void gradients_of_logits(const float* x, const int32_t* targets, FocalLoss<float> focal,
                                    float* dx) {
  for (int64_t i : grid_stride(logits)) {
    const int32_t target = targets[i / classes];
    const auto of = focal.at<true>(x[i], target == i % classes ? 1.0f : 0.0f);
    dx[i] = target != ignored_target ? of.derivative : 0;
  }
}

// Both in one pass; the last block to finish adds up the sums.
__global__ void loss_and_gradient(const float* x, const int32_t* targets, FocalLoss<float> focal,
                                  float* partial, unsigned* ticket, float* dx, float* total) {
  float sum = 0;
  for (int64_t i : grid_stride(logits)) {
    const int32_t target = targets[i / classes];
    const auto of = focal.at<true>(x[i], target == i % classes ? 1.0f : 0.0f);
    if (target != ignored_target) sum += of.loss;
    dx[i] = target != ignored_target ? of.derivative : 0;
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
  if (!is_last_block(ticket, gridDim.x)) return;
  sum = 0;
  for (unsigned i = threadIdx.x; i < gridDim.x; i += blockDim.x) sum += partial[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *total = sum;
}

}  // namespace

int main(int argc, char** argv) {
  // One anchor in 16 has an object, and one is ignored.
  std::vector<int32_t> of_anchors;
  for (int i = 0; i < anchors; ++i)
    of_anchors.push_back(i % 16 == 3 ? i % classes : i % 16 == 4 ? ignored_target : background_target);
  constexpr int blocks = logits / block_threads / 4 + 1;
  const ladders::Array<float> x("x", ladders::numbers(logits)), p("p", logits), loss("losses", logits),
      partial("partial", blocks), dx("dx", logits), total("total", 1),
      one("normalizer", std::vector<float>{1.0f});
  const ladders::Array<int32_t> targets("targets", of_anchors);
  const FocalLoss<float> focal{alpha, gamma_, 0};
  const auto over_logits = [](auto kernel, auto... arguments) {
    cuda::launch(kernel, {blocks, block_threads}, arguments...);
  };
  const std::string here = "examples/ladders/focal_loss.cu";
  const ladders::Code focal_code{"cuda/kernels/focal_loss.h", {"struct FocalLoss {"}};
  return ladders::run(
      {.title = "Focal loss and its gradient",
       .inputs = {{"x", x.data()}, {"targets", targets.data()}},
       .least_bytes = double(x.bytes() + targets.bytes() + dx.bytes() + total.bytes()),
       .clear =
           [&] {
             cuda::fill_bytes(dx.data(), 0xFF, dx.bytes());
             cuda::fill_bytes(total.data(), 0xFF, total.bytes());
           },
       .result =
           [&] {  // the loss as a mean, which is of the size of the gradients
             std::vector<float> values = dx.values();
             values.push_back(total.values()[0] / logits);
             return values;
           },
       .rungs = {{"1 op by op",
                  {{here, {"void probabilities(", "void losses(", "void total_of(", "void gradients("}}},
                  [&] {
                    over_logits(probabilities, x.data(), p.data());
                    over_logits(losses, p.data(), targets.data(), loss.data());
                    cuda::launch(total_of, {1, block_threads}, loss.data(), logits, total.data());
                    over_logits(gradients, p.data(), targets.data(), dx.data());
                  }},
                 {"2 sums of blocks",
                  {{here, {"void block_losses(", "void total_of(", "void gradients_of_logits("}}, focal_code},
                  [&] {
                    over_logits(block_losses, x.data(), targets.data(), focal, partial.data());
                    cuda::launch(total_of, {1, block_threads}, partial.data(), blocks, total.data());
                    over_logits(gradients_of_logits, x.data(), targets.data(), focal, dx.data());
                  }},
                 {"3 loss and gradient in one",
                  {{here, {"void loss_and_gradient("}}, focal_code},
                  [&] {
                    over_logits(loss_and_gradient, x.data(), targets.data(), focal, partial.data(),
                                cuda::current_stream().tickets(1), dx.data(), total.data());
                  }},
                 {"4 the kernel in use",
                  {{"cuda/kernels/detection_loss.cu",
                    {"struct LossSum", "class PackedLogits", "void focal_loss_packed("}},
                   focal_code},
                  [&] {
                    cuda::focal_loss<float>(x.data(), targets.data(), nullptr, total.data(), dx.data(), focal,
                                            one.data(), anchors, classes);
                  }}}},
      argc, argv);
}
