// Lesson 1: a tensor is numbers in a row, and a shape that says how to read them.
#include <cstdio>

#include "ops/arithmetic.h"
#include "ops/reduction.h"

using namespace fovea;

namespace {

void print(const char* title, const Tensor& x) {
  std::printf("%-28s %-8s", title, x.shape().to_string().c_str());
  for (const double value : x.values()) std::printf(" %g", value);
  std::printf("\n");
}

}  // namespace

int main() {
  // Two rows of three. The last index runs fastest: element (i, j) is number 3 i + j of the row.
  const Tensor x = from_values({2, 3}, {1, 2, 3, 4, 5, 6});
  print("x", x);
  std::printf("x(1, 0) is number 3: %g\n", x.data<float>()[1 * 3 + 0]);

  // Arithmetic is elementwise; a missing axis, or one of size 1, is repeated.
  print("x + x", x + x);
  print("x * (10, 20, 30)", x * from_values({3}, {10, 20, 30}));
  print("x - its row means", x - mean(x, 1, true));
  print("sum over rows", sum(x, 0));

  // A copy of a Tensor is a second name for the same numbers; clone() makes other numbers.
  const Tensor same = x, other = x.clone();
  x.fill(7);
  print("same, after x.fill(7)", same);
  print("other", other);

  // An image batch is (N, H, W, C): the channels of a pixel lie side by side.
  const Tensor images = zeros({2, 4, 5, 3});
  images.data<float>()[((1 * 4 + 2) * 5 + 3) * 3 + 1] = 0.5f;  // image 1, row 2, column 3, green
  print("channel sums of image 1", sum(sum(sum(images, 0), 0), 0));

  // What does not fit is an error that says both shapes.
  try {
    x + zeros({4});
  } catch (const Error& error) {
    std::printf("error: %s\n", error.what());
  }
}
