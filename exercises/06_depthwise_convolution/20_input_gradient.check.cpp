#include "depthwise.h"
#include "kernels.h"

#include <20_input_gradient.cu>

using namespace fovea;
using namespace fovea::learn;

namespace {

std::vector<float> gradient(const std::vector<float>& w, const std::vector<float>& dy,
                            const DepthwiseSizes& s) {
  const int64_t n = input_shape(s).numel();
  const Buffer<float> filter(w), upstream(dy), dx(n);
  cuda::launch(input_gradient, {2, 32}, filter.data(), upstream.data(), dx.data(), s, n);
  return dx.values();
}

const std::vector<float> to_nine = {1, 2, 3, 4, 5, 6, 7, 8, 9};

}  // namespace

STEP("one output: its dy goes to each pixel of its window, times the weight between them") {
  // dy is 1 at [1, 1] of 3 x 3 outputs: y[1, 1] = sum of x[a, b] w[a, b], and so dx is w.
  const std::vector<float> dx =
      gradient(to_nine, {0, 0, 0, 0, 1, 0, 0, 0, 0}, depthwise_sizes(1, 3, 3, 1, 3, 1));
  expect(dx != std::vector<float>{9, 8, 7, 6, 5, 4, 3, 2, 1},
         "the pixel [0, 0] got w[2][2]: that is the forward pass, applied to dy. The pixel row reaches the "
         "output "
         "row + pad_y - a, not row - pad_y + a");
  expect_close(dx, in_double(to_nine), "dx of one dy in the middle, filter 1 .. 9", 1e-5, {3, 3});
}

STEP("an output in the corner: what falls outside of the image goes nowhere") {
  expect_close(gradient(to_nine, {1, 0, 0, 0, 0, 0, 0, 0, 0}, depthwise_sizes(1, 3, 3, 1, 3, 1)),
               std::vector<double>{5, 6, 0, 8, 9, 0, 0, 0, 0}, "dx of one dy at [0, 0], filter 1 .. 9", 1e-5,
               {3, 3});
}

STEP("stride 2: a pixel reaches an output only where the division leaves no remainder") {
  // Windows of 3 begin at 0 and 2: the third of the four rows belongs to both, the other rows to one.
  expect_close(gradient(std::vector<float>(9, 1), {1, 1, 1, 1}, depthwise_sizes(1, 4, 4, 1, 3, 2)),
               std::vector<double>{1, 1, 2, 1, 1, 1, 2, 1, 2, 2, 4, 2, 1, 1, 2, 1},
               "number of windows that see each pixel", 1e-5, {4, 4});
}

STEP("the same as Fovea's depthwise_conv2d, in every order of the threads") {
  for (const DepthwiseSizes& s : {depthwise_sizes(1, 1, 1, 1, 3, 1), depthwise_sizes(2, 5, 7, 3, 3, 1),
                                  depthwise_sizes(1, 6, 5, 2, 3, 2), depthwise_sizes(2, 7, 4, 1, 5, 2)}) {
    const std::vector<float> w = sample_float(filter_shape(s).numel(), 2),
                             dy = sample_float(output_shape(s).numel(), 3);
    const std::vector<double> expected =
        depthwise_by_fovea(std::vector<double>(input_shape(s).numel()), in_double(w), in_double(dy), s).dx;
    expect_close(in_every_order([&] { return gradient(w, dy, s); }), expected, "dx, " + name(s), 1e-5,
                 input_shape(s));
  }
}

STEP("score: each dx is written once, and neighbouring threads read neighbouring numbers") {
  const DepthwiseSizes s = depthwise_sizes(1, 6, 6, 32, 3, 1);
  const Buffer<float> w(sample_float(9 * 32)), dy(sample_float(36 * 32)), dx(36 * 32);
  const cuda::KernelScore score = score_of([&] {
    cuda::launch(input_gradient, {4, 32}, w.data(), dy.data(), dx.data(), s, int64_t(36 * 32));
  });
  expect_times("dx", "written", score.writes(dx.data()), 1);
  expect_sectors("dy", "read", score.reads(dy.data()), 4);
  expect_times("dy", "read", score.reads(dy.data()), 9);
  note_score("dy", "read", score.reads(dy.data()));
}
