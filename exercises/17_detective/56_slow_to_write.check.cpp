#include "evidence.h"

#include <56_slow_to_write.cu>

using namespace fovea;
using namespace fovea::learn;

namespace {

using Kernel = void (*)(const float*, float, float, float*, int);

std::vector<float> result_of(Kernel kernel, const std::vector<float>& x) {
  const Buffer<float> in(x), y(int64_t(x.size()));
  cuda::launch(kernel, {(unsigned(x.size()) + 255) / 256, 64}, in.data(), 3.0f, 0.5f, y.data(),
               int(x.size()));
  return y.values();
}

// The writes of y, 1024 numbers.
cuda::AccessScore writes_of(Kernel kernel) {
  const Buffer<float> x(sample_float(1024)), y(1024);
  return score_of([&] {
           cuda::launch(kernel, {4, 64}, x.data(), 3.0f, 0.5f, y.data(), 1024);
         })
      .writes(y.data());
}

}  // namespace

STEP("what is wrong") {
  expect_fault(fault, writes_of(broken).requests > 8 ? Fault::unpacked_store : Fault::unknown);
}

STEP("which line") { expect_line(line, letter_of(line, "y[first + k] =")); }

STEP("how many sectors") {
  expect_number("sectors_of_a_request", sectors_of_a_request, int(writes_of(broken).sectors_per_request()),
                "with k = 0 the 32 threads store at bytes 0, 16, 32, 48 ... of y. How many pieces of 32 "
                "bytes is that?");
}

STEP("fixed: the numbers are right") {
  for (const int n : {4, 28, 1024}) {
    const std::vector<float> x = sample_float(n);
    std::vector<double> expected(x.begin(), x.end());
    for (double& value : expected) value = 3 * value + 0.5;
    expect_close(in_every_order([&] { return result_of(fixed, x); }), expected, fmt::format("n = {}", n));
  }
}

STEP("fixed: one request stores the four numbers of each thread") {
  const cuda::AccessScore writes = writes_of(fixed);
  note_score("y", "written", writes);
  expect(writes.requests <= 8, "8 warps take {} requests to write y; 8 are enough, of 16 bytes a thread",
         writes.requests);
  expect_times("y", "written", writes, 1);
}
