// Lesson 1: a tensor is a row of numbers, and a shape that determines how to index them.
#include <fmt/format.h>

#include "core/error.h"
#include "core/print.h"
#include "ops/arithmetic.h"
#include "ops/reduction.h"

using namespace fovea;

int main() {
  // Two rows of three. The last index varies fastest: element (i, j) is number 3 i + j in memory.
  const Tensor x = from_values({2, 3}, {1, 2, 3, 4, 5, 6});
  fmt::print("x:\n{}\n", x);
  fmt::print("x(1, 0) is number 3: {}\n", x.data<float>()[1 * 3 + 0]);

  // Arithmetic is elementwise; a missing axis, or one of size 1, is repeated.
  fmt::print("x + x:\n{}\n", x + x);
  fmt::print("x * (10, 20, 30):\n{}\n", x * from_values({3}, {10, 20, 30}));
  fmt::print("x - its row means:\n{}\n", x - mean(x, 1, true));
  fmt::print("sum over rows:\n{}\n", sum(x, 0));

  // A copy of a Tensor is a second handle to the same numbers; clone() copies the numbers.
  const Tensor same = x, other = x.clone();
  x.fill(7);
  fmt::print("same, after x.fill(7):\n{}\n", same);
  fmt::print("other:\n{}\n", other);

  // An image batch is (N, H, W, C): the channels of a pixel are adjacent in memory.
  const Tensor images = zeros({2, 4, 5, 3});
  images.data<float>()[((1 * 4 + 2) * 5 + 3) * 3 + 1] = 0.5f;  // image 1, row 2, column 3, green
  fmt::print("channel sums of image 1:\n{}\n", sum(sum(sum(images, 0), 0), 0));

  // Shapes that do not fit are an error, which names both.
  try {
    x + zeros({4});
  } catch (const Error& error) {
    fmt::print("error: {}\n", error.what());
  }
}
