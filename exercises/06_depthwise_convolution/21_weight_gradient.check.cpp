#include "depthwise.h"
#include "kernels.h"

#include <21_weight_gradient.cu>

using namespace fovea;
using namespace fovea::learn;

namespace {

std::vector<float> gradient(const std::vector<float>& x, const std::vector<float>& dy,
                            const DepthwiseSizes& s, unsigned blocks) {
  const int64_t n = filter_shape(s).numel();
  const Buffer<float> in(x), upstream(dy), partial(n * blocks), dw(n);
  const Buffer<unsigned> ticket(std::vector<unsigned>{0});
  cuda::launch(weight_gradient, {blocks, unsigned(s.channels)}, in.data(), upstream.data(), s, partial.data(),
               ticket.data(), dw.data());
  return dw.values();
}

const std::vector<float> to_nine = {1, 2, 3, 4, 5, 6, 7, 8, 9};

}  // namespace

STEP("one output in the middle: dw is what its window sees") {
  expect_close(gradient(to_nine, {0, 0, 0, 0, 10, 0, 0, 0, 0}, depthwise_sizes(1, 3, 3, 1, 3, 1), 1),
               std::vector<double>{10, 20, 30, 40, 50, 60, 70, 80, 90}, "dw of dy[1, 1] = 10, image 1 .. 9",
               1e-5, {3, 3});
}

STEP("one output in the corner: its window sees zeros outside of the image") {
  expect_close(gradient(to_nine, {1, 0, 0, 0, 0, 0, 0, 0, 0}, depthwise_sizes(1, 3, 3, 1, 3, 1), 1),
               std::vector<double>{0, 0, 0, 0, 1, 2, 0, 4, 5}, "dw of dy[0, 0] = 1, image 1 .. 9", 1e-5,
               {3, 3});
}

STEP("three blocks: dw is the sum of all blocks, not of the last one only") {
  // Each row of dy falls to another block; the middle weight sees all pixels.
  const std::vector<float> dw =
      gradient(to_nine, std::vector<float>(9, 1), depthwise_sizes(1, 3, 3, 1, 3, 1), 3);
  expect_close(dw, std::vector<double>{12, 21, 16, 27, 45, 33, 24, 39, 28}, "dw of dy = 1, image 1 .. 9",
               1e-5, {3, 3});
}

STEP("the same as Fovea's depthwise_conv2d: strides, images, channels, and more blocks than rows") {
  for (const auto& [s, blocks] : {std::pair{depthwise_sizes(1, 1, 1, 1, 3, 1), 1u},
                                  {depthwise_sizes(2, 5, 7, 3, 3, 1), 4u},
                                  {depthwise_sizes(3, 6, 5, 2, 3, 2), 2u},
                                  {depthwise_sizes(1, 2, 3, 37, 3, 1), 5u}}) {
    const std::vector<float> x = sample_float(input_shape(s).numel()),
                             dy = sample_float(output_shape(s).numel(), 2);
    const std::vector<double> expected =
        depthwise_by_fovea(in_double(x), std::vector<double>(filter_shape(s).numel()), in_double(dy), s).dw;
    expect_close(gradient(x, dy, s, blocks), expected, fmt::format("dw, {}, {} blocks", name(s), blocks),
                 1e-5, filter_shape(s));
  }
}

STEP("the same bits whichever block is the last") {
  const DepthwiseSizes s = depthwise_sizes(2, 9, 7, 5, 3, 1);
  const std::vector<float> x = sample_float(input_shape(s).numel()),
                           dy = sample_float(output_shape(s).numel(), 2);
  in_every_order([&] { return gradient(x, dy, s, 7); });
}

STEP("score: dy is read once, by neighbouring threads, and each partial sum once") {
  const DepthwiseSizes s = depthwise_sizes(1, 6, 6, 32, 3, 1);
  const Buffer<float> x(sample_float(36 * 32)), dy(sample_float(36 * 32, 2)), partial(3 * 9 * 32), dw(9 * 32);
  const Buffer<unsigned> ticket(std::vector<unsigned>{0});
  const cuda::KernelScore score = score_of([&] {
    cuda::launch(weight_gradient, {3, 32}, x.data(), dy.data(), s, partial.data(), ticket.data(), dw.data());
  });
  note_score("x", "read", score.reads(x.data()));
  expect_times("dy", "read", score.reads(dy.data()), 1);
  expect_sectors("dy", "read", score.reads(dy.data()), 4);
  expect_sectors("x", "read", score.reads(x.data()), 4);
  expect_times("partial", "read", score.reads(partial.data()), 1);
  expect_times("dw", "written", score.writes(dw.data()), 1);
}
