// Exercise 44: capture a step as a graph
//
// Goal:      Replay a training step with one call, and still use each step's own learning rate.
// Builds on: 9
// Minutes:   35
// Source:    CUDA C++ Programming Guide, "CUDA Graphs"; cuda/runtime/graph.h; OptimizerStep in
//            cuda/kernels/optimizer.h, which holds what changes from step to step
#pragma once
#include <algorithm>
#include <cstdint>

#include <fovea/cuda/device/grid.h>
#include <fovea/cuda/runtime/graph.h>
#include <fovea/cuda/runtime/launch.h>
#include <fovea/cuda/runtime/memory.h>

namespace {

// The learning rate of a step, from 0: 0.1, 0.2, 0.3, 0.4, 0.5, and 0.5 from then on.
inline float rate_of(int64_t step) { return std::min(0.5f, 0.1f * float(step + 1)); }

// d(loss)/dw, where the loss is half the squared distance from w to the target.
__global__ void gradient(const float* w, const float* target, float* g, int64_t n) {
  for (int64_t i : fovea::grid_stride(n)) g[i] = w[i] - target[i];
}

// Gradient descent: w -= rate g.
// ---- your code: 3 lines ----
__global__ void update(float* w, const float* g, int64_t n, float rate) {
  for (int64_t i : fovea::grid_stride(n)) w[i] -= rate * g[i];
}
// ---- end ----

// What stands here is right, but the host launches two kernels in each step. A training step of a detector
// has hundreds of launches, and on a fast GPU they take longer than the kernels. Record the two launches
// once, as a graph, and replay it in each step:
//
//   graph_.run(work, after_capture)    // work and after_capture are functions without arguments
//
// calls work() the first two times. The third time it captures what work() launches, and nothing runs yet;
// then it calls after_capture(), for which there is nothing to do here, and replays the graph. From then on
// it only replays it, and work() is not called any more.
//
// A graph records the values of a kernel's arguments. A replay has the pointers of the capture, which is what
// you want, and the numbers of the capture, which is wrong for the learning rate. What changes from step to
// step lies in device memory: a kernel gets a pointer to it, and the host writes it before the replay with
//
//   fovea::cuda::copy_to_device(to, from, bytes)
class Training {
 public:
  // w and target are in device memory, with n numbers each.
  Training(float* w, const float* target, int64_t n) : w_(w), target_(target), n_(n), g_(n), rate_(1) {}

  // ---- your code: 7 to 12 lines ----
  void step(int64_t number) {
    fovea::cuda::launch(gradient, {4, 64}, w_, target_, g_.data(), n_);
    fovea::cuda::launch(update, {4, 64}, w_, g_.data(), n_, rate_of(number));
  }
  // ---- end ----

 private:
  float* w_;
  const float* target_;
  int64_t n_;
  fovea::cuda::Workspace<float> g_;     // the gradient
  fovea::cuda::Workspace<float> rate_;  // one number in device memory
  fovea::cuda::Graph graph_;
};

}  // namespace
