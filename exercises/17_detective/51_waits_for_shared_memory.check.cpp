#include "evidence.h"

#include <51_waits_for_shared_memory.cu>

using namespace fovea;
using namespace fovea::learn;

namespace {

using Kernel = void (*)(const float*, float*);

std::vector<float> sums_of(Kernel kernel, const std::vector<float>& x) {
  const Buffer<float> in(x), sums(32);
  cuda::launch(kernel, {1, 32}, in.data(), sums.data());
  return sums.values();
}

struct Scored {
  const Buffer<float> x{sample_float(32 * 40)}, sums{32};
  cuda::KernelScore score;
  explicit Scored(Kernel kernel) {
    score = score_of([&] { cuda::launch(kernel, {1, 32}, x.data(), sums.data()); });
  }
};

}  // namespace

STEP("what is wrong") {
  const cuda::KernelScore score = Scored(broken).score;
  expect_fault(fault, score.shared_reads.conflicts > 0 ? Fault::bank_conflict : Fault::unknown);
}

STEP("which line") {
  const cuda::KernelScore score = Scored(broken).score;
  expect_line(line, letter_of(line, score.shared_writes.conflicts > 0 ? "= x[i]" : "+= tile"));
}

STEP("how many rounds a request takes") {
  const cuda::AccessScore reads = Scored(broken).score.shared_reads;
  expect_number("rounds_of_a_request", rounds_of_a_request, int(reads.wavefronts / reads.requests),
                "thread t reads word 40 t + column. In which banks are these 32 words?");
}

STEP("fixed: the sums are right") {
  const std::vector<float> x = sample_float(32 * 40);
  std::vector<double> expected(32, 0.0);
  for (size_t i = 0; i < x.size(); ++i) expected[i / 40] += double(x[i]);
  expect_close(in_every_order([&] { return sums_of(fixed, x); }), expected, "sums");
}

STEP("fixed: the reads of shared memory take one round each") {
  const Scored scored(fixed);
  const cuda::AccessScore& reads = scored.score.shared_reads;
  expect(reads.requests > 0, "the numbers should still go through shared memory");
  note(fmt::format("shared memory: {} rounds for {} requests that read, {} for {} that write",
                   reads.wavefronts, reads.requests, scored.score.shared_writes.wavefronts,
                   scored.score.shared_writes.requests));
  expect(reads.conflicts == 0, "the reads take {} rounds beyond the first of each request", reads.conflicts);
}

STEP("fixed: neighbouring threads read neighbouring numbers of x, each once") {
  const Scored scored(fixed);
  expect_sectors("x", "read", scored.score.reads(scored.x.data()), 4);
  expect_times("x", "read", scored.score.reads(scored.x.data()), 1);
}
