#include "check.h"

#include <25_log_softmax.h>

using namespace fovea::learn;

STEP("equal logits share equally") {
  expect_close(log_softmax({5, 5}), std::vector<double>{-std::log(2), -std::log(2)}, "log_softmax({5, 5})");
}

STEP("three logits, by hand") {
  // exp: 1, 2, 5; sum 8
  expect_close(log_softmax({0, std::log(2), std::log(5)}),
               std::vector<double>{std::log(1.0 / 8), std::log(2.0 / 8), std::log(5.0 / 8)},
               "log_softmax({0, log 2, log 5})");
}

STEP("logits of 1000 do not overflow") {
  expect_close(log_softmax({1000, 999}), std::vector<double>{-0.3132616875, -1.3132616875},
               "log_softmax({1000, 999})", 1e-9);
}

STEP("small probabilities keep their logarithm") {
  expect_close(log_softmax({0, -2000}), std::vector<double>{0, -2000},
               "log_softmax({0, -2000}) (log of a probability of 0?)");
}

STEP("one logit has probability 1") {
  expect_close(log_softmax({-7}), std::vector<double>{0}, "log_softmax({-7})");
}

STEP("probabilities add up to 1") {
  double sum = 0;
  for (double v : log_softmax(sample(1000))) sum += std::exp(v);
  expect_close(sum, 1, "the sum of exp(log_softmax) over 1000 logits", 1e-9);
}
