#include "evidence.h"

#include <55_same_seed_other_result.cu>

#include <algorithm>
#include <array>
#include <numeric>
#include <set>

using namespace fovea;
using namespace fovea::learn;

namespace {

std::vector<float> total_of(void (*kernel)(const float*, int64_t, float*, int*, unsigned*, float*),
                            const std::vector<float>& x, unsigned blocks) {
  const Buffer<float> in(x), list(blocks), total(1);
  const Buffer<int> count(std::vector<int>{0});
  const Buffer<unsigned> ticket(std::vector<unsigned>{0});
  for (int launches = 0; launches < 2; ++launches)
    cuda::launch(kernel, {blocks, 64}, in.data(), int64_t(x.size()), list.data(), count.data(), ticket.data(),
                 total.data());
  return total.values();
}

bool depends_on_order() {
  try {
    in_every_order([] { return total_of(broken, sample_float(1009), 13); });
  } catch (const std::exception&) {
    return true;
  }
  return false;
}

// Without the -0.0 that equals 0.
int totals_of_three_blocks() {
  std::array<float, 3> sums = {-1e8f, 1.0f, 1e8f};
  std::set<float> totals;
  do totals.insert(sums[0] + sums[1] + sums[2]);
  while (std::next_permutation(sums.begin(), sums.end()));
  return int(totals.size());
}

}  // namespace

STEP("what is wrong") { expect_fault(fault, depends_on_order() ? Fault::unordered_sum : Fault::unknown); }

STEP("which line") { expect_line(line, letter_of(line, "atomicAdd(count")); }

STEP("how many totals") {
  expect_number("different_totals", different_totals, totals_of_three_blocks(),
                "a float32 has 24 bits, and near 1e8 the next one is 8 away. Try all six orders");
}

STEP("fixed: the sum is right") {
  std::vector<float> x(500);
  std::iota(x.begin(), x.end(), 1.0f);
  for (const unsigned blocks : {1, 3, 20})
    expect_close(total_of(fixed, x, blocks), std::vector<double>{125250},
                 fmt::format("1 + 2 + ... + 500 by {} blocks", blocks));
}

STEP("fixed: the same bits whatever the order of the blocks") {
  in_every_order([] { return total_of(fixed, sample_float(1009), 13); });
}
