#include "check.h"
#include "kernels.h"

#include <12_block_sum.cu>

using namespace fovea;
using namespace fovea::learn;

namespace {

std::vector<float> sums_of(const std::vector<float>& x) {
  const Buffer<float> in(x), sums(int64_t(x.size() / 64));
  cuda::launch(block_sums, {unsigned(x.size() / 64), 64}, in.data(), sums.data());
  return sums.values();
}

}  // namespace

STEP("the sum of 64 ones is 64") {
  expect_close(sums_of(std::vector<float>(64, 1.0f)), std::vector<double>{64}, "sums");
}

STEP("each block sums its own numbers") {
  std::vector<float> x(256);
  for (size_t i = 0; i < x.size(); ++i) x[i] = float(i);
  expect_close(sums_of(x), std::vector<double>{2016, 6112, 10208, 14304}, "sums of 0 .. 255");
}

STEP("the same bits in whatever order the threads run") {
  const std::vector<float> x = sample_float(64 * 7);
  in_every_order([&] { return sums_of(x); });
}
