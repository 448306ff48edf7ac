// Lesson 2: the tape. Each op records what it was computed from; backward() processes these records in
// reverse.
#include <cmath>
#include <cstdio>

#include "core/file.h"
#include "ops/activation.h"
#include "ops/arithmetic.h"
#include "ops/reduction.h"

using namespace fovea;

int main() {
  // loss = mean((swish(a b) - t)^2): a and b require gradients, t does not.
  const Tensor a = from_values({3}, {1, 2, 3}), b = from_values({3}, {0.5, -1, 0.25});
  a.set_requires_grad();
  b.set_requires_grad();
  const Tensor target = from_values({3}, {1, 0, 1});

  const Tensor y = swish(a * b);
  const Tensor error = y - target;
  const Tensor loss = mean(error * error);
  std::printf("loss %.6f\n", loss.item());

  // The tape is the graph behind the loss. A node links to its inputs, and its closure computes their
  // gradients from d(loss)/d(output).
  const std::string graph = graph_dot(loss);
  write_file_atomically("tape.dot", graph);
  std::printf("%s", graph.find("swish") != std::string::npos ? "tape.dot shows it\n" : "");
  for (const Node* node = loss.node().get(); !node->is_leaf(); node = node->inputs[0].get())
    std::printf("  %-9s of %zu inputs\n", node->op, node->inputs.size());

  loss.backward();

  // Check the gradients by hand. With s = 1 / (1 + e^-x) and x = a b: d(loss)/dy = 2 (y - t) / 3,
  // dy/dx = s + x s (1 - s), dx/da = b.
  for (int i = 0; i < 3; ++i) {
    const double x = double(a.data<float>()[i]) * double(b.data<float>()[i]), s = 1 / (1 + std::exp(-x));
    const double by_hand = 2 * (x * s - double(target.data<float>()[i])) / 3 * (s + x * s * (1 - s)) *
                           double(b.data<float>()[i]);
    std::printf("d(loss)/da[%d]  tape %9.6f  by hand %9.6f\n", i, double(a.grad().data<float>()[i]), by_hand);
  }

  // Gradients add up until they are cleared. backward() can run only once on a tape, because it frees what
  // the tape kept.
  try {
    loss.backward();
  } catch (const Error& again) {
    std::printf("error: %.79s...\n", again.what());
  }
}
