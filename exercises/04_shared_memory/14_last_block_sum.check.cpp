#include "check.h"
#include "kernels.h"

#include <14_last_block_sum.cu>

#include <fovea/cuda/runtime/error.h>
#include <numeric>

using namespace fovea;
using namespace fovea::learn;

namespace {

// `launches` times in a row with the same ticket, as a training step would; the last total.
std::vector<float> total_of(const std::vector<float>& x, unsigned blocks, int launches = 1) {
  const Buffer<float> in(x), partial(blocks), total(1);
  const Buffer<unsigned> ticket(std::vector<unsigned>{0});
  for (int i = 0; i < launches; ++i) {
    try {
      cuda::launch(sum, {blocks, 64}, in.data(), int64_t(x.size()), partial.data(), ticket.data(),
                   total.data());
    } catch (const CudaError& error) {
      if (std::string_view(error.what()).find("another block") != std::string_view::npos)
        note(
            "no barrier orders two blocks. What another block wrote may be read by the block with the last "
            "ticket only, after a fence, and where the other block called a fence before it took its ticket. "
            "The last ticket is `most` of atomicInc, so `most` must be gridDim.x - 1");
      throw;
    }
    const std::vector<float> sums = partial.values();
    for (unsigned block = 0; block < blocks; ++block)
      expect(!std::isnan(sums[block]), "block {} of {} has not written its sum to partial[{}]", block, blocks,
             block);
    expect(!std::isnan(total.values()[0]), "{} blocks: no block has written the total{}", blocks,
           i > 0 ? fmt::format(", in launch {} with the same ticket", i + 1) : "");
    const unsigned left = ticket.values()[0];
    expect(left == 0, "{} blocks: the ticket is {} after the launch, and should be 0 again for the next",
           blocks, left);
  }
  return total.values();
}

std::vector<float> numbers_to(int n) {
  std::vector<float> x(static_cast<size_t>(n));
  std::iota(x.begin(), x.end(), 1.0f);
  return x;
}

}  // namespace

STEP("one block is the last at once: 1 + 2 + ... + 100") {
  expect_close(total_of(numbers_to(100), 1), std::vector<double>{5050}, "the total");
}

STEP("three blocks: 1 + 2 + ... + 500") {
  expect_close(total_of(numbers_to(500), 3), std::vector<double>{125250}, "the total");
}

STEP("more blocks than numbers: those without any take a ticket as well") {
  expect_close(total_of(numbers_to(5), 4), std::vector<double>{15}, "the total");
}

STEP("a second and a third launch with the same ticket") {
  expect_close(total_of(numbers_to(500), 3, 3), std::vector<double>{125250}, "the total of the third launch");
}

STEP("the same bits whichever block is the last") {
  const std::vector<float> x = sample_float(1009);
  const double expected = std::accumulate(x.begin(), x.end(), 0.0);
  expect_close(in_every_order([&] { return total_of(x, 13); }), std::vector<double>{expected}, "the total");
}

STEP("score: the last block only reads the sums of all") {
  const Buffer<float> x(sample_float(640)), partial(10), total(1);
  const Buffer<unsigned> ticket(std::vector<unsigned>{0});
  const cuda::KernelScore score = score_of([&] {
    cuda::launch(sum, {10, 64}, x.data(), int64_t(640), partial.data(), ticket.data(), total.data());
  });
  expect_times("partial", "read", score.reads(partial.data()), 1);
  expect_times("total", "written", score.writes(total.data()), 1);
  note_score("partial", "read", score.reads(partial.data()));
}
