#include <fovea/cuda/runtime/counters.h>

#include "check.h"
#include "kernels.h"

#include <44_capture_a_step.cu>

using namespace fovea;
using namespace fovea::learn;

namespace {

// One number, which begins at 0, with the target 1: after each of `steps` steps.
std::vector<float> path(int64_t steps) {
  const Buffer<float> w(std::vector<float>{0}), target(std::vector<float>{1});
  Training training(w.data(), target.data(), 1);
  std::vector<float> values;
  for (int64_t step = 0; step < steps; ++step) {
    training.step(step);
    values.push_back(w.values()[0]);
  }
  return values;
}

// The numbers after `steps` steps; the host reads nothing before.
std::vector<float> trained(const std::vector<float>& w, const std::vector<float>& target, int64_t steps) {
  const Buffer<float> weights(w), to(target);
  Training training(weights.data(), to.data(), int64_t(w.size()));
  for (int64_t step = 0; step < steps; ++step) training.step(step);
  return weights.values();
}

void expect_trained(const std::vector<float>& w, const std::vector<float>& target, int64_t steps,
                    const std::vector<float>& got) {
  std::vector<double> expected(w.begin(), w.end());
  for (int64_t step = 0; step < steps; ++step)
    for (size_t i = 0; i < w.size(); ++i)
      expected[i] -= double(rate_of(step)) * (expected[i] - double(target[i]));
  expect_close(got, expected, fmt::format("{} numbers after {} steps", w.size(), steps));
}

}  // namespace

STEP("the first three steps have the rates 0.1, 0.2 and 0.3") {
  const std::vector<float> got = path(3);
  expect(std::abs(got[1] - 0.28f) > 1e-6f || std::abs(got[2] - 0.496f) < 1e-6f,
         "step 1 is right, and step 2, the first replay, gives {} instead of 0.496. Is the copy of the "
         "learning rate "
         "part of the graph? A replay would copy from where the host's variable was during the capture",
         got[2]);
  expect_close(got, std::vector<double>{0.1, 0.28, 0.496}, "a number that begins at 0, with the target 1");
}

STEP("each replay has its own step's rate") {
  const std::vector<float> got = path(6);
  for (int64_t captured = 0; captured < 3; ++captured)
    expect(
        std::abs(got[3] - (got[2] + rate_of(captured) * (1 - got[2]))) > 1e-6f,
        "step 3 has the learning rate {}, which is that of step {}: a graph records the values of a kernel's "
        "arguments when it is captured",
        rate_of(captured), captured);
  expect_close(got, std::vector<double>{0.1, 0.28, 0.496, 0.6976, 0.8488, 0.9244},
               "a number that begins at 0, with the target 1");
}

STEP("from the fourth step on a step is one replay") {
  const Buffer<float> w(std::vector<float>(100, 0)), target(std::vector<float>(100, 1));
  Training training(w.data(), target.data(), 100);
  for (int64_t step = 0; step < 8; ++step) {
    const cuda::Counters before = cuda::counters();
    training.step(step);
    const cuda::Counters& after = cuda::counters();
    if (step < 3) continue;
    expect(after.launches == before.launches, "step {} launches {} kernels, and should launch none", step,
           after.launches - before.launches);
    expect(after.graph_replays - before.graph_replays == 1, "step {} replays {} graphs", step,
           after.graph_replays - before.graph_replays);
    expect(after.copies - before.copies <= 1, "step {} makes {} copies: one is enough, of the learning rate",
           step, after.copies - before.copies);
    expect(after.synchronizations == before.synchronizations,
           "step {} waits for the device: the next step's work could be requested meanwhile", step);
  }
}

STEP("1009 numbers and 12 steps, in every order of the threads") {
  const std::vector<float> w = sample_float(1009), target = sample_float(1009, 2);
  expect_trained(w, target, 12, in_every_order([&] { return trained(w, target, 12); }));
}

STEP("the same where the device begins only after the host has requested all steps") {
  struct Deferred {
    Deferred() { cuda::set_execution(cuda::Execution::deferred); }
    ~Deferred() { cuda::set_execution(cuda::Execution::immediate); }
  } deferred;
  const std::vector<float> w = sample_float(31), target = sample_float(31, 2);
  expect_trained(w, target, 9, trained(w, target, 9));
}
