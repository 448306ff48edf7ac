#include "depthwise.h"
#include "kernels.h"

#include <19_row_window_kernel.cu>

using namespace fovea;
using namespace fovea::learn;

namespace {

cuda::LaunchConfig config(const DepthwiseSizes& s) {
  return {dim3((unsigned(s.channels) + 31) / 32, unsigned(s.batch * s.height)), 32};
}

std::vector<float> outputs(const std::vector<float>& x, const std::vector<float>& w,
                           const DepthwiseSizes& s) {
  const Buffer<float> in(x), filter(w), y(int64_t(x.size()));
  cuda::launch(depthwise_rows, config(s), in.data(), filter.data(), y.data(), s.height, s.width, s.channels);
  return y.values();
}

// An image of 8 x 8 pixels and 32 channels.
struct Scored {
  const Buffer<float> x{sample_float(8 * 8 * 32)}, w{sample_float(9 * 32, 2)}, y{8 * 8 * 32};
  const cuda::KernelScore score = score_of([&] {
    cuda::launch(depthwise_rows, {dim3(1, 8), 32}, x.data(), w.data(), y.data(), 8, 8, 32);
  });
};

}  // namespace

STEP("a row of pixels 1, 2, 3 and 4: the middle row of the filter is 100, 10, 1") {
  // Output 0 is 0 * 100 + 1 * 10 + 2 * 1.
  expect_close(outputs({1, 2, 3, 4}, {7, 7, 7, 100, 10, 1, 7, 7, 7}, depthwise_sizes(1, 1, 4, 1, 3, 1)),
               std::vector<double>{12, 123, 234, 340}, "y");
}

STEP("3 x 3 pixels under a filter of ones: outside of the image there are zeros") {
  expect_close(
      outputs({1, 2, 3, 4, 5, 6, 7, 8, 9}, std::vector<float>(9, 1), depthwise_sizes(1, 3, 3, 1, 3, 1)),
      std::vector<double>{12, 21, 16, 27, 45, 33, 24, 39, 28}, "y", 1e-5, {3, 3});
}

STEP("the same as Fovea's depthwise_conv2d, in every order of the threads") {
  for (const DepthwiseSizes& s : {depthwise_sizes(1, 1, 1, 1, 3, 1), depthwise_sizes(2, 5, 7, 3, 3, 1),
                                  depthwise_sizes(1, 2, 11, 37, 3, 1)}) {
    const std::vector<float> x = sample_float(input_shape(s).numel()),
                             w = sample_float(filter_shape(s).numel(), 2);
    const std::vector<double> expected =
        depthwise_by_fovea(in_double(x), in_double(w), std::vector<double>(x.size()), s).y;
    expect_close(in_every_order([&] { return outputs(x, w, s); }), expected, name(s), 1e-5, output_shape(s));
  }
}

STEP("score: each pixel is read once for each row of outputs, so three times, not nine") {
  const Scored scored;
  const cuda::AccessScore x = scored.score.reads(scored.x.data());
  note_score("x", "read", x);
  expect_times("x", "read", x, 2.75);  // the first and the last row belong to two rows of outputs
  expect_sectors("x", "read", x, 4);
}

STEP("score: a thread reads its nine weights once, and writes each output once") {
  const Scored scored;
  expect_times("w", "read", scored.score.reads(scored.w.data()), 8);  // by the threads of 8 rows
  expect_times("y", "written", scored.score.writes(scored.y.data()), 1);
  expect_sectors("y", "written", scored.score.writes(scored.y.data()), 4);
}
