#include "evidence.h"

#include <53_hangs_on_some_gpus.cu>

using namespace fovea;
using namespace fovea::learn;

namespace {

std::vector<float> result_of(void (*kernel)(const float*, float*, int), const std::vector<float>& x) {
  const Buffer<float> in(x), y(int64_t(x.size()));
  cuda::launch(kernel, {1, 64}, in.data(), y.data(), int(x.size()));
  return y.values();
}

// Thread 0, which begins first, waits at the barrier in question when another comes to the one behind the
// loop.
Report broken_report() {
  return report_of([] { result_of(broken, sample_float(100)); });
}

}  // namespace

STEP("what is wrong") { expect_fault(fault, broken_report().fault); }

STEP("which line") {
  std::string text = broken_report().text;
  text = text.substr(0, text.find(": kernel "));  // "... other threads of the block wait at FILE.cu:LINE"
  expect_line(line, letter_of(line, number_after(text, ".cu:")));
}

STEP("which thread") {
  expect_number("first_other_thread", first_other_thread, broken_report().thread,
                "for which threads is the condition at line c false, when half is 32?");
}

STEP("fixed: the differences are right, whatever the order of the threads") {
  for (const int n : {1, 7, 64, 100, 257}) {
    const std::vector<float> x = sample_float(n);
    std::vector<double> expected(x.begin(), x.end());
    double sum = 0;
    for (const double value : expected) sum += value;
    for (double& value : expected) value -= sum / n;
    expect_close(in_every_order([&] { return result_of(fixed, x); }), expected, fmt::format("n = {}", n));
  }
}
