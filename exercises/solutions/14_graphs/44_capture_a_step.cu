// Exercise 44: capture a step as a graph
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
__global__ void update(float* w, const float* g, int64_t n, const float* rate) {
  for (int64_t i : fovea::grid_stride(n)) w[i] -= *rate * g[i];
}

class Training {
 public:
  // w and target are in device memory, with n numbers each.
  Training(float* w, const float* target, int64_t n) : w_(w), target_(target), n_(n), g_(n), rate_(1) {}

  void step(int64_t number) {
    // Outside of the graph: a captured copy would read the host's memory of the step that was captured.
    const float rate = rate_of(number);
    fovea::cuda::copy_to_device(rate_.data(), &rate, sizeof rate);
    graph_.run([this] { compute(); }, [] {});
  }

 private:
  // What each step asks of the device: nothing in it depends on the step.
  void compute() {
    fovea::cuda::launch(gradient, {4, 64}, w_, target_, g_.data(), n_);
    fovea::cuda::launch(update, {4, 64}, w_, g_.data(), n_, rate_.data());
  }

  float* w_;
  const float* target_;
  int64_t n_;
  fovea::cuda::Workspace<float> g_;     // the gradient
  fovea::cuda::Workspace<float> rate_;  // one number in device memory
  fovea::cuda::Graph graph_;
};

}  // namespace
