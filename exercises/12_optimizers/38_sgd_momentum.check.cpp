#include "check.h"

#include <38_sgd_momentum.h>

using namespace fovea::learn;

STEP("without momentum and decay a step is -rate * gradient") {
  std::vector<double> w{1, 2, 3}, m{0, 0, 0};
  sgd_momentum(w, m, {10, 0, -10}, 0.1, 0, 0);
  expect_close(w, std::vector<double>{0, 2, 4}, "weights after one step");
}

STEP("momentum remembers the gradients before") {
  std::vector<double> w{0}, m{0};
  sgd_momentum(w, m, {1}, 1, 0.5, 0);  // m = 1,    w = -1
  sgd_momentum(w, m, {1}, 1, 0.5, 0);  // m = 1.5,  w = -2.5
  expect_close(w, std::vector<double>{-2.5},
               "the weight after two steps of gradient 1, momentum 0.5, rate 1");
  sgd_momentum(w, m, {0}, 1, 0.5, 0);  // m = 0.75, w = -3.25
  expect_close(m, std::vector<double>{0.75}, "the momentum after a third step with gradient 0");
  expect_close(w, std::vector<double>{-3.25}, "the weight after a third step with gradient 0");
}

STEP("a lower rate scales down what the momentum still adds") {
  std::vector<double> w{0}, m{0};
  sgd_momentum(w, m, {1}, 1, 0.5, 0);
  sgd_momentum(w, m, {0}, 0.1, 0.5, 0);  // w = -1 - 0.1 * 0.5
  expect_close(w, std::vector<double>{-1.05},
               "the weight after a step of rate 1 and one of rate 0.1 with gradient 0");
}

STEP("weight decay pulls the weights to zero, through the momentum") {
  std::vector<double> w{1}, m{0};
  sgd_momentum(w, m, {0}, 0.5, 0.9, 0.2);  // g = 0.2, m = 0.2, w = 0.9
  expect_close(m, std::vector<double>{0.2}, "the momentum after a step with gradient 0 and decay 0.2");
  expect_close(w, std::vector<double>{0.9}, "the weight after that step");
}

STEP("it finds the minimum of (w - 3)^2 within 200 steps") {
  std::vector<double> w{-5}, m{0};
  for (int i = 0; i < 200; ++i) sgd_momentum(w, m, {2 * (w[0] - 3)}, 0.05, 0.9, 0);
  expect_close(w, std::vector<double>{3}, "the weight", 1e-3);
}
