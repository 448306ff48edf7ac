// Lesson 14: a ResNet from parts, trained on the CPU and, by changing one word, on a GPU, with its step
// captured as one graph.
#include <fovea/cuda/runtime/counters.h>
#include <fovea/fovea.h>

#include <cmath>
#include <cstdio>

using namespace fovea;

namespace {

// y = relu(x' + f(x)): x' is x, or its projection where f changes the shape (arXiv 1512.03385, figure 2).
struct Residual : Module {
  Residual(Module& parent, const std::string& name, int64_t in, int64_t out, int stride)
      : Module(parent, name) {
    f.add<Conv2d>(Conv2dOptions{.in = in, .out = out, .stride = stride, .bias = false});
    f.add<BatchNorm>(out, Activation::relu);
    f.add<Conv2d>(Conv2dOptions{.in = out, .out = out, .bias = false});
    f.add<BatchNorm>(out);
    if (stride == 1 && in == out) return;
    shortcut.add<Conv2d>(Conv2dOptions{.in = in, .out = out, .kernel = 1, .stride = stride, .bias = false});
    shortcut.add<BatchNorm>(out);
  }
  Tensor forward(const Tensor& x) const override { return relu(shortcut(x) + f(x)); }

  Sequential f{*this, "f"}, shortcut{*this, "shortcut"};  // an empty one is the identity
};

struct SmallResNet : Module {
  explicit SmallResNet(uint64_t seed) : Module(seed) {
    body.add<Conv2d>(Conv2dOptions{.in = 3, .out = 8, .bias = false});
    body.add<BatchNorm>(8, Activation::relu);
    body.add([](const Tensor& x) { return max_pool2d(x, {2, 2}); });
    body.add<Residual>(8, 8, 1);
    body.add<Residual>(8, 16, 2);
    body.add(global_average_pool);
    body.add<Linear>(16, 2);
  }
  Tensor forward(const Tensor& x) const override { return body(x); }

  Sequential body{*this, "body"};
};

// Horizontal or vertical stripes with noise; the label is the direction.
void make_batch(int64_t step, const Tensor& images, const Tensor& labels) {
  Random random(3, uint64_t(step));
  const int64_t size = images.size(1);
  for (int64_t n = 0; n < images.size(0); ++n) {
    const int32_t label = int32_t(random.below(2));
    labels.data<int32_t>()[n] = label;
    for (int64_t i = 0; i < size * size; ++i)
      for (int64_t c = 0; c < 3; ++c)
        images.data<float>()[(n * size * size + i) * 3 + c] =
            float((label ? i / size : i % size) / 2 % 2) + 0.3f * random.normal();
  }
}

// Trains for some steps on a device and returns the losses. Only the device differs between CPU and GPU.
std::vector<double> train(Device device, int steps) {
  SmallResNet net(5);
  net.to(device);
  AdamW optimizer(net.parameters(), {.learning_rate = 0.01});

  // A captured step reads its batch at fixed addresses, so each batch is copied there.
  const Tensor host_images = zeros({4, 12, 12, 3}), host_labels = zeros({4}, DType::int32);
  const Tensor images = host_images.clone(device), labels = host_labels.clone(device);
  CapturedStep step(net, optimizer, [&] { return softmax_cross_entropy(net(images), labels); });

  std::vector<double> losses;
  for (int i = 0; i < steps; ++i) {
    make_batch(i, host_images, host_labels);
    images.copy_from(host_images);
    labels.copy_from(host_labels);
    losses.push_back(step().item());
  }
  return losses;
}

}  // namespace

int main() try {
  SmallResNet net(5);
  for (const NamedTensor& parameter : net.parameters())
    if (parameter.name.find("weight") != std::string::npos && parameter.tensor.rank() == 4)
      std::printf("%-24s %s\n", parameter.name.c_str(), parameter.tensor.shape().to_string().c_str());

  const auto on_cpu = train(Device::cpu, 30);
  std::printf("on the CPU the loss fell to a third: %s\n", on_cpu.back() < on_cpu.front() / 3 ? "yes" : "no");
  const int64_t replays = cuda::counters().graph_replays;
  const auto on_cuda = train(Device::cuda, 5);
  std::printf("on CUDA the same losses, to a thousandth: %s\n",
              std::abs(on_cuda.back() - on_cpu[4]) < 1e-3 ? "yes" : "no");
  std::printf("steps that were one launch of a graph: %lld\n",
              (long long)(cuda::counters().graph_replays - replays));
} catch (const Error& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
