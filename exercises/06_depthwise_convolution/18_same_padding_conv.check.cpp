#include "depthwise.h"

#include <18_same_padding_conv.h>

using namespace fovea::learn;

namespace {
const std::vector<double> to_nine = {1, 2, 3, 4, 5, 6, 7, 8, 9};
}

STEP("the number of outputs, and the zeros before the first pixel") {
  for (const auto& [size, stride, expected] : {std::tuple{6, 1, 6}, {6, 2, 3}, {5, 2, 3}, {1, 2, 1}})
    expect_equal(output_size(size, stride), int64_t(expected),
                 fmt::format("output_size({}, {})", size, stride));
  for (const auto& [size, k, stride, expected] :
       {std::tuple{6, 3, 1, 1}, {5, 3, 2, 1}, {4, 3, 2, 0}, {4, 5, 2, 1}, {1, 5, 1, 2}, {3, 1, 2, 0}})
    expect_equal(zeros_before(size, k, stride), int64_t(expected),
                 fmt::format("zeros_before({}, {}, {})", size, k, stride));
}

STEP("an image of one pixel meets the middle of the filter only") {
  expect_close(depthwise({10}, {1, 1, 1, 1}, to_nine, 3, 1), std::vector<double>{50},
               "10 under the filter 1 .. 9");
}

STEP("a filter of ones sums up to nine pixels: outside of the image there are zeros") {
  // The corner has 1 + 2 + 4 + 5 = 12 of the image 1 .. 9, row by row.
  expect_close(depthwise(to_nine, {1, 3, 3, 1}, std::vector<double>(9, 1), 3, 1),
               std::vector<double>{12, 21, 16, 27, 45, 33, 24, 39, 28}, "sums of 3 x 3 pixels", 1e-9, {3, 3});
}

STEP("the filter is not turned round") {
  const std::vector<double> y = depthwise({0, 0, 0, 0, 1, 0, 0, 0, 0}, {1, 3, 3, 1}, to_nine, 3, 1);
  expect(y != to_nine,
         "the output [0, 0] met the only 1, in the middle of the image, with w[0][0]: its window ends there, "
         "and so "
         "it should be w[2][2]");
  expect_close(y, std::vector<double>{9, 8, 7, 6, 5, 4, 3, 2, 1},
               "one 1 in the middle under the filter 1 .. 9", 1e-9, {3, 3});
}

STEP("stride 2 on an even image: all zeros are behind the last pixel") {
  const std::vector<double> y =
      depthwise(std::vector<double>(16, 1), {1, 4, 4, 1}, std::vector<double>(9, 1), 3, 2);
  expect(y != std::vector<double>{4, 6, 6, 9},
         "the first window begins at row and column -1, as with PyTorch's padding of 1 on each side; with "
         "\"SAME\" "
         "padding it begins at 0");
  expect_close(y, std::vector<double>{9, 6, 6, 4}, "numbers of pixels under each window", 1e-9, {2, 2});
}

STEP("each channel has its own filter") {
  // The middle tap is 10 for channel 0 and 100 for channel 1; the other taps are 0.
  std::vector<double> w(18, 0.0);
  w[8] = 10, w[9] = 100;
  expect_close(depthwise({1, 2, 3, 4}, {1, 1, 2, 2}, w, 3, 1), std::vector<double>{10, 200, 30, 400},
               "two pixels with two channels", 1e-9, {1, 2, 2});
}

STEP("the same as Fovea's depthwise_conv2d") {
  for (const DepthwiseSizes& s : {depthwise_sizes(2, 5, 7, 3, 3, 1), depthwise_sizes(1, 6, 5, 2, 3, 2),
                                  depthwise_sizes(2, 7, 8, 1, 5, 2), depthwise_sizes(1, 2, 3, 5, 5, 1)}) {
    const std::vector<double> x = sample(input_shape(s).numel()), w = sample(filter_shape(s).numel(), 2);
    const std::vector<double> expected =
        depthwise_by_fovea(x, w, std::vector<double>(output_shape(s).numel()), s).y;
    expect_close(depthwise(x, {s.batch, s.height, s.width, s.channels}, w, s.kernel, s.stride), expected,
                 name(s), 1e-9, output_shape(s));
  }
}
