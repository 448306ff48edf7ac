#include "evidence.h"

#include <49_wrong_now_and_then.cu>

using namespace fovea;
using namespace fovea::learn;

namespace {

std::vector<float> result_of(void (*kernel)(const float*, float*, int), const std::vector<float>& x) {
  const Buffer<float> in(x), y(int64_t(x.size()));
  cuda::launch(kernel, {1, 64}, in.data(), y.data(), int(x.size() / 64));
  return y.values();
}

Report broken_with(int rounds) {
  return report_of([&] { result_of(broken, sample_float(64 * rounds)); });
}

}  // namespace

STEP("what is wrong") { expect_fault(fault, broken_with(7).fault); }

STEP("which line") { expect_line(line, letter_of(line, broken_with(7).line)); }

STEP("with how many rounds") {
  int found = 1;
  while (found < 7 && broken_with(found).fault == Fault::unknown) ++found;
  expect_number("fewest_rounds", fewest_rounds, found,
                fewest_rounds < found ? "with that many it is always right" : "it may go wrong with fewer");
}

STEP("fixed: the sums are right, whatever the order of the threads") {
  for (const int rounds : {1, 2, 5}) {
    const std::vector<float> x = sample_float(64 * rounds);
    std::vector<double> expected(x.size());
    for (size_t i = 0; i < x.size(); ++i) expected[i] = double(x[i]) + double(x[i / 64 * 64 + (i + 1) % 64]);
    expect_close(in_every_order([&] { return result_of(fixed, x); }), expected,
                 fmt::format("{} rounds", rounds));
  }
}
