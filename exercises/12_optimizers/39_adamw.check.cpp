#include <fovea/train/optim/optimizer.h>

#include "check.h"

#include <39_adamw.h>

using namespace fovea::learn;

STEP("the first step has the size of the rate, whatever the gradient's size") {
  std::vector<double> w{0, 0, 0}, m{0, 0, 0}, v{0, 0, 0};
  adamw(w, m, v, {1e-3, 1, -1000}, 0, 0.1, 0.9, 0.999, 0, 0);
  expect_close(w, std::vector<double>{-0.1, -0.1, 0.1},
               "weights after step 0 (0.0316 in place of 0.1: the bias corrections are missing)");
}

STEP("moments after two steps, worked out by hand") {
  std::vector<double> w{0}, m{0}, v{0};
  adamw(w, m, v, {2}, 0, 0.1, 0.5, 0.75, 0, 0);  // m = 1, v = 1
  adamw(w, m, v, {4}, 1, 0.1, 0.5, 0.75, 0, 0);  // m = 0.5 + 2, v = 0.75 + 4
  expect_close(m, std::vector<double>{2.5}, "momentum after gradients 2 and 4, b1 = 0.5");
  expect_close(v, std::vector<double>{4.75}, "variance after gradients 2 and 4, b2 = 0.75");
}

STEP("weight decay does not pass through the division") {
  std::vector<double> w{10}, m{0}, v{0};
  adamw(w, m, v, {0}, 0, 0.1, 0.9, 0.999, 1e-8, 0.2);
  expect_close(w, std::vector<double>{9.8},
               "the weight 10 after a step with gradient 0, rate 0.1, decay 0.2");
}

STEP("epsilon is added to the root, not under it") {
  std::vector<double> w{0}, m{0}, v{0};
  adamw(w, m, v, {1}, 0, 1, 0.9, 0.999, 1, 0);
  expect_close(w, std::vector<double>{-0.5}, "the weight after a gradient of 1 with rate 1 and epsilon 1");
}

STEP("twenty steps equal those of Fovea's own AdamW") {
  const std::vector<double> start = fovea::learn::sample(7);
  std::vector<double> w = start, m(7), v(7);
  const fovea::Tensor weight = fovea::from_values({1, 7}, start).set_requires_grad();
  fovea::AdamW optimizer({{"w", weight}}, {.learning_rate = 0.01, .weight_decay = 0.1});
  for (int64_t step = 0; step < 20; ++step) {
    const std::vector<double> g = fovea::learn::sample(7, uint64_t(step) + 2);
    weight.set_grad(fovea::from_values({1, 7}, g));
    optimizer.step();
    adamw(w, m, v, g, step, 0.01, 0.9, 0.999, 1e-8, 0.1);
  }
  fovea::learn::expect_close(w, weight.values(), "weights after 20 steps", 1e-5);
}
