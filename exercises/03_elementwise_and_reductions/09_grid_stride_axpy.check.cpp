#include "check.h"
#include "kernels.h"

#include <09_grid_stride_axpy.cu>

using namespace fovea;
using namespace fovea::learn;

namespace {

std::vector<float> axpy_of(float a, const std::vector<float>& x, const std::vector<float>& y, unsigned blocks,
                           unsigned threads) {
  const Buffer<float> device_x(x), device_y(y);
  cuda::launch(axpy, {blocks, threads}, a, device_x.data(), device_y.data(), int64_t(x.size()));
  return device_y.values();
}

// y = 0 and a x = 1 everywhere: afterwards y counts how often each element was updated.
void expect_each_once(int64_t n, unsigned blocks, unsigned threads) {
  const std::vector<float> counts =
      axpy_of(1, std::vector<float>(size_t(n), 1), std::vector<float>(size_t(n), 0), blocks, threads);
  const std::string launch = fmt::format("n = {}, {} blocks of {} threads", n, blocks, threads);
  for (int64_t i = 0; i < n; ++i) {
    expect(counts[i] != 0,
           "{}: no thread updated element {}; it would be for thread {} of block {} in round {}", launch, i,
           i % threads, i / threads % blocks, i / (int64_t(threads) * blocks));
    expect(counts[i] == 1, "{}: element {} was updated {} times", launch, i, counts[i]);
  }
}

}  // namespace

STEP("a thread for each of 4 elements") {
  expect_close(axpy_of(2, {1, 2, 3, 4}, {10, 20, 30, 40}, 1, 4), std::vector<double>{12, 24, 36, 48},
               "2 * {1, 2, 3, 4} + {10, 20, 30, 40}");
}

STEP("several blocks: each has elements of its own") { expect_each_once(96, 3, 32); }

STEP("more threads than elements: those that are too many do nothing") {
  expect_each_once(5, 1, 32);
  expect_each_once(33, 2, 32);
  expect_each_once(1, 4, 64);
}

STEP("fewer threads than elements: each takes further ones, a whole grid apart") {
  expect_each_once(200, 1, 32);
  expect_each_once(1009, 3, 64);
}

STEP("1009 numbers, in every order of threads and blocks") {
  const std::vector<float> x = sample_float(1009, 1), y = sample_float(1009, 2);
  std::vector<double> expected(x.size());
  for (size_t i = 0; i < x.size(); ++i) expected[i] = 0.5 * double(x[i]) + double(y[i]);
  expect_close(in_every_order([&] { return axpy_of(0.5f, x, y, 2, 64); }), expected, "0.5 x + y");
}

STEP("score: a warp reads and writes 128 bytes in a row") {
  const Buffer<float> x(sample_float(1024)), y(sample_float(1024, 2));
  const cuda::KernelScore score = score_of([&] {
    cuda::launch(axpy, {4, 64}, 2.0f, x.data(), y.data(), int64_t(1024));
  });
  expect_times("x", "read", score.reads(x.data()), 1);
  expect_sectors("x", "read", score.reads(x.data()), 4);
  expect_sectors("y", "written", score.writes(y.data()), 4);
  note_score("x", "read", score.reads(x.data()));
}
