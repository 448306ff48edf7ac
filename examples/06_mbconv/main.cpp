// Lesson 6: the mobile inverted bottleneck (MBConv), the block that EfficientNet is built from.
#include <cstdio>

#include "models/efficientnet.h"
#include "nn/trace.h"

using namespace fovea;

int main() {
  // 24 channels in and out, six times as many inside, depthwise 5 x 5, at 28 x 28.
  Random random(1);
  MBConv block(
      {.in = 24, .out = 24, .expansion = 6, .window = {5, 1, Padding::same}, .drop_path = 0, .norm = {}},
      random);
  const Tensor x = randn({1, 28, 28, 24}, random);

  Trace trace;  // records what each layer does, until it is destroyed
  const Tensor y = block.forward(x);
  std::printf("%-18s %-20s %-14s %10s %10s\n", "layer", "kind", "output", "parameters", "mult-adds");
  int64_t total = 0, depthwise = 0;
  for (const TracedLayer& layer : trace.layers) {
    std::printf("%-18s %-20s %-14s %10lld %10lld\n", layer.path.c_str(), layer.kind.c_str(),
                layer.output.to_string().c_str(), (long long)layer.parameters,
                (long long)layer.multiply_adds);
    total += layer.multiply_adds;
    if (layer.path == "conv_dw") depthwise = layer.multiply_adds;
  }

  // The same window as a dense convolution of the 144 inner channels would cost 144 times the depthwise one.
  std::printf("all %.2f M; the depthwise part %.2f M, dense it would be %.0f M\n", double(total) / 1e6,
              double(depthwise) / 1e6, double(depthwise) * 144 / 1e6);

  // Input and output have the same shape and the stride is 1, so the block adds its input at the end: it can
  // start close to the identity.
  std::printf("output %s\n", y.shape().to_string().c_str());
}
