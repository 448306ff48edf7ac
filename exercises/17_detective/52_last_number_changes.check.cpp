#include "evidence.h"

#include <52_last_number_changes.cu>

using namespace fovea;
using namespace fovea::learn;

namespace {

std::vector<float> result_of(void (*kernel)(const float*, float*, int), const std::vector<float>& x) {
  const Buffer<float> in(x), y(int64_t(x.size()));
  cuda::launch(kernel, {(unsigned(x.size()) + 63) / 64, 64}, in.data(), y.data(), int(x.size()));
  return y.values();
}

// Its fault at the smallest n that has one.
struct Found {
  int n = 0;
  Report report;
  Found() {
    while (++n < 200 && report.fault == Fault::unknown)
      report = report_of([&] { result_of(broken, sample_float(n)); });
    --n;
  }
};

}  // namespace

STEP("what is wrong") { expect_fault(fault, Found().report.fault); }

STEP("which line") { expect_line(line, letter_of(line, Found().report.line)); }

STEP("for which n") {
  const Found found;
  expect_number("smallest_n", smallest_n, found.n,
                smallest_n < found.n ? "for that n all is right" : "it happens for smaller n");
}

STEP("fixed: the sums are right, whatever the size") {
  for (const int n : {1, 2, 63, 64, 65, 100, 128}) {
    const std::vector<float> x = sample_float(n);
    std::vector<double> expected(x.begin(), x.end());
    for (int i = 0; i < n; ++i)
      expected[i] += (i > 0 ? double(x[i - 1]) : 0.0) + (i + 1 < n ? double(x[i + 1]) : 0.0);
    expect_close(in_every_order([&] { return result_of(fixed, x); }), expected, fmt::format("n = {}", n));
  }
}
