// Lesson 4: depthwise convolution, the central op of EfficientNet, from the definition to a fast loop.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>

#include "cuda/runtime/kernel_score.h"
#include "ops/depthwise_conv2d.h"
#include "ops/shape_ops.h"

using namespace fovea;

namespace {

struct Sizes {
  int64_t height, width, channels;
};

// The definition: y[i, j, c] = sum over a, b of x[i + a - 1, j + b - 1, c] w[a, b, c]. It runs channel by
// channel, which suits images stored as planes. Here the pixels of one channel are `channels` numbers apart,
// so each load fetches a cache line and uses one number of it.
void by_definition(const float* x, const float* w, float* y, Sizes s) {
  for (int64_t c = 0; c < s.channels; ++c)
    for (int64_t i = 0; i < s.height; ++i)
      for (int64_t j = 0; j < s.width; ++j) {
        float sum = 0;
        for (int64_t a = 0; a < 3; ++a)
          for (int64_t b = 0; b < 3; ++b) {
            const int64_t row = i + a - 1, column = j + b - 1;
            if (row < 0 || row >= s.height || column < 0 || column >= s.width) continue;
            sum += x[(row * s.width + column) * s.channels + c] * w[(a * 3 + b) * s.channels + c];
          }
        y[(i * s.width + j) * s.channels + c] = sum;
      }
}

// Channels innermost: a pixel's channels are adjacent, and the loop over them has no condition, so the
// compiler vectorizes it: 8 or 16 channels at a time.
void channels_inside(const float* x, const float* w, float* y, Sizes s) {
  for (int64_t i = 0; i < s.height; ++i)
    for (int64_t j = 0; j < s.width; ++j) {
      float* out = y + (i * s.width + j) * s.channels;
      std::fill_n(out, s.channels, 0.0f);
      for (int64_t a = 0; a < 3; ++a)
        for (int64_t b = 0; b < 3; ++b) {
          const int64_t row = i + a - 1, column = j + b - 1;
          if (row < 0 || row >= s.height || column < 0 || column >= s.width) continue;
          const float* in = x + (row * s.width + column) * s.channels;
          const float* tap = w + (a * 3 + b) * s.channels;
          for (int64_t c = 0; c < s.channels; ++c) out[c] += in[c] * tap[c];
        }
    }
}

double milliseconds(const std::function<void()>& work) {
  work();
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 5; ++i) work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count() / 5;
}

}  // namespace

int main(int argc, char** argv) {
  const Sizes s{56, 56, 144};  // a layer of EfficientNet-B0 at 224 px
  Random random(1);
  const Tensor x = randn({1, s.height, s.width, s.channels}, random), w = randn({3, 3, s.channels}, random);
  const Tensor first = empty_like(x), second = empty_like(x);
  by_definition(x.data<float>(), w.data<float>(), first.data<float>(), s);
  channels_inside(x.data<float>(), w.data<float>(), second.data<float>(), s);
  const Tensor third = depthwise_conv2d(x, w, {3, 1, Padding::same});

  double worst = 0;
  for (int64_t i = 0; i < x.numel(); ++i)
    for (const Tensor& other : {second, third})
      worst = std::max(worst, std::abs(double(first.data<float>()[i]) - double(other.data<float>()[i])));
  std::printf("three ways, one result: %s\n", worst < 1e-4 ? "yes" : "no");

  const double multiply_adds = 9.0 * double(x.numel()), bytes = 2.0 * double(x.bytes());
  std::printf("multiply-adds %.2f M, bytes that must move %.2f MB: %.1f of the one for each of the other\n",
              multiply_adds / 1e6, bytes / 1e6, multiply_adds / bytes);

  // On a GPU, here a simulated one: in float64 the definition, in float32 the fast kernel, with what each
  // asks of the memory.
  const Tensor small = randn({1, 8, 8, 32}, random).to(Device::cuda),
               filter = randn({3, 3, 32}, random).to(Device::cuda);
  for (const DType dtype : {DType::float64, DType::float32}) {
    const Tensor image = cast(small, dtype), taps = cast(filter, dtype);
    cuda::name_buffer(image.raw(), "x");
    cuda::name_buffer(taps.raw(), "w");
    const cuda::ScoreKernels scoring;
    const Tensor y = depthwise_conv2d(image, taps, {3, 1, Padding::same});
    for (const cuda::KernelScore& score : scoring.scores()) std::puts(cuda::describe(score).c_str());
  }

  if (argc > 1 && std::strcmp(argv[1], "--time") == 0) {
    NoGrad no_grad;
    std::printf("by definition    %8.3f ms\n", milliseconds([&] {
                  by_definition(x.data<float>(), w.data<float>(), first.data<float>(), s);
                }));
    std::printf("channels inside  %8.3f ms\n", milliseconds([&] {
                  channels_inside(x.data<float>(), w.data<float>(), second.data<float>(), s);
                }));
    std::printf("depthwise_conv2d %8.3f ms\n", milliseconds([&] {
                  depthwise_conv2d(x, w, {3, 1, Padding::same});
                }));
  }
}
