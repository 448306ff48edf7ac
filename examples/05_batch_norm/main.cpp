// Lesson 5: batch norm, and the reason for each term of its backward pass.
#include <cmath>
#include <cstdio>

#include "cuda/runtime/kernel_score.h"
#include "ops/batch_norm.h"

using namespace fovea;

int main() {
  // One channel, four numbers: x' = (x - mean) / sqrt(variance + epsilon), y = weight x' + bias.
  const Tensor x = from_values({4, 1}, {1, 2, 3, 6}), weight = from_values({1}, {2}),
               bias = from_values({1}, {0.5});
  x.set_requires_grad();
  weight.set_requires_grad();
  bias.set_requires_grad();
  const Tensor running_mean = zeros({1}), running_variance = ones({1});
  const Tensor y =
      batch_norm(x, weight, bias, running_mean, running_variance, {.epsilon = 0, .momentum = 0.1});
  std::printf("mean 3, variance 3.5: y =");
  for (const double value : y.values()) std::printf(" %.4f", value);
  std::printf("\nrunning mean %.4f, running variance %.4f (of 14 / 3, as PyTorch has it)\n",
              running_mean.item(), running_variance.item());

  // A gradient of y, to compare what reaches x.
  const double dy[4] = {1, 0, 0, 0};
  y.backward(from_values({4, 1}, {dy[0], dy[1], dy[2], dy[3]}));

  // If mean and deviation were constants, dx would be dy weight / deviation. But they depend on x. Adding the
  // same number to every x does not change y, so dx must not have a part that all x share. Stretching x does
  // not change y, so dx must not have a part along x':
  //   dx = weight / deviation (dy - mean(dy) - x' mean(dy x'))
  const double deviation = std::sqrt(3.5), values[4] = {1, 2, 3, 6};
  double mean_dy = 0, mean_dy_x = 0;
  for (int i = 0; i < 4; ++i) {
    mean_dy += dy[i] / 4;
    mean_dy_x += dy[i] * (values[i] - 3) / deviation / 4;
  }
  double sum = 0, along = 0;
  std::printf("   dx as constants   dx by the formula   dx of the op\n");
  for (int i = 0; i < 4; ++i) {
    const double normalised = (values[i] - 3) / deviation, op = x.grad().values()[size_t(i)];
    std::printf("%18.4f %19.4f %14.4f\n", 2 / deviation * dy[i],
                2 / deviation * (dy[i] - mean_dy - normalised * mean_dy_x), op);
    sum += op;
    along += op * normalised;
  }
  std::printf("sum of dx %.4f, sum of dx x' %.4f\n", std::abs(sum), std::abs(along));
  std::printf("d(weight) = sum of dy x' = %.4f, d(bias) = sum of dy = %.4f\n", weight.grad().item(),
              bias.grad().item());

  // The forward pass on a GPU, here a simulated one, of few rows and of many.
  const auto eight = [](double value) { return full({8}, value, DType::float32, Device::cuda); };
  const Tensor scale = eight(1), shift = eight(0), mean = eight(0), variance = eight(1);
  for (const int64_t count : {32, 2048}) {
    Random random(1);
    const Tensor rows = randn({count, 8}, random).to(Device::cuda);
    cuda::name_buffer(rows.raw(), "x");
    const cuda::ScoreKernels scoring;
    batch_norm(rows, scale, shift, mean, variance, {});
    for (const cuda::KernelScore& score : scoring.scores())
      std::printf(
          "[simulator] %4d rows: %d block(s) of %3d threads read x %.2f times, %.1f sectors a request\n",
          int(count), int(score.blocks), int(score.threads), score.reads(rows.raw()).times(),
          score.reads(rows.raw()).sectors_per_request());
  }
}
