// Lesson 7: a BiFPN node brings its inputs to one size, weighs them, and adds them.
#include <fmt/format.h>

#include "core/print.h"
#include "ops/bifpn_node.h"
#include "ops/pool2d.h"
#include "ops/resample.h"
#include "ops/shape_ops.h"

using namespace fovea;

int main() {
  const Tensor finer = from_values({1, 4, 4, 1}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 8, 7, 6, 5, 4, 3, 2});
  const Tensor own = from_values({1, 2, 2, 1}, {1, 2, 3, 4});
  const Tensor coarser = from_values({1, 1, 1, 1}, {10});
  fmt::print("the finer level, pooled by the largest of 3 x 3:\n{}\n", reshape(max_pool2d(finer), {2, 2}));
  fmt::print("the coarser level, repeated:\n{}\n", reshape(upsample_nearest(coarser, 2, 2), {2, 2}));

  // The node learns one number for each input. Fast normalised fusion replaces a negative number by 0, which
  // switches the input off.
  const Tensor learned = from_values({3}, {1, 3, -0.5});
  for (const Fusion fusion : {Fusion::fast_normalized, Fusion::softmax}) {
    const auto w = fusion_weights(learned, fusion);
    fmt::print("{:<16} {:.4f} {:.4f} {:.4f}\n", fusion == Fusion::softmax ? "softmax" : "fast normalised",
               w[0], w[1], w[2]);
  }
  const Tensor node =
      bifpn_node({finer, own, coarser}, learned, Fusion::fast_normalized, 2, 2, Activation::identity);
  fmt::print("the node, before its activation:\n{}\n", reshape(node, {2, 2}));

  // Check the top left value by hand: 1 / 4 of 9, the largest value of the window, and 3 / 4 of 1.
  fmt::print("0.25 * 9 + 0.75 * 1 = {:.2f}\n", 0.25 * 9 + 0.75 * 1);
}
