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

STEP("each input is read once, by neighbouring threads; one number a block is written") {
  const Buffer<float> in(sample_float(64 * 3)), sums(3);
  const cuda::KernelScore score = score_of([&] {
    cuda::launch(block_sums, {3, 64}, in.data(), sums.data());
  });
  expect_times("x", "read", score.reads(in.data()), 1);
  expect_sectors("x", "read", score.reads(in.data()), 4);
  expect_times("sums", "written", score.writes(sums.data()), 1);
  note_score("x", "read", score.reads(in.data()));
  note(fmt::format("{} barriers a block; the reference has 7", score.barriers / score.blocks));
}
