#include "evidence.h"

#include <50_crashes_on_odd_sizes.cu>

using namespace fovea;
using namespace fovea::learn;

namespace {

std::vector<float> result_of(void (*kernel)(const float*, float*, int), const std::vector<float>& x,
                             unsigned threads) {
  const Buffer<float> in(x), y(int64_t(x.size()));
  const unsigned blocks = (unsigned(x.size()) + 4 * threads - 1) / (4 * threads);
  cuda::launch(kernel, {blocks, threads}, in.data(), y.data(), int(x.size()));
  return y.values();
}

Report broken_report() {
  return report_of([] { result_of(broken, sample_float(1001), 256); });
}

}  // namespace

STEP("what is wrong") { expect_fault(fault, broken_report().fault); }

STEP("which line") { expect_line(line, letter_of(line, broken_report().line)); }

STEP("which thread") {
  expect_number("faulty_thread", faulty_thread, broken_report().thread,
                "all four numbers of that thread exist, or none of them");
}

STEP("fixed: each number is doubled, whatever the size") {
  for (const int n : {1, 2, 3, 4, 5, 127, 1001}) {
    const std::vector<float> x = sample_float(n);
    std::vector<double> expected(x.begin(), x.end());
    for (double& value : expected) value *= 2;
    expect_close(in_every_order([&] { return result_of(fixed, x, 32); }), expected, fmt::format("n = {}", n));
  }
}
