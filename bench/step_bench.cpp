// The time and memory of a training step and of a forward pass: step_bench [model] [batch] [image size] [repeats]
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "models/efficientnet.h"
#include "ops/cross_entropy.h"

using namespace fovea;

namespace {

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

template <class F>
double best_of(int repeats, F&& f) {
  for (int i = 0; i < 3; ++i) f();
  double best = 1e30;
  for (int i = 0; i < repeats; ++i) {
    const double start = seconds();
    f();
    best = std::min(best, seconds() - start);
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string name = argc > 1 ? argv[1] : "efficientnet_b0";
  const int64_t batch = argc > 2 ? std::atoll(argv[2]) : 8, size = argc > 3 ? std::atoll(argv[3]) : 224;
  const int repeats = argc > 4 ? std::atoi(argv[4]) : 8;
  Random random(1);
  EfficientNet model(efficientnet_spec(name), 1000, random);
  const Tensor images = randn({batch, size, size, 3}, random);
  Tensor labels({batch}, DType::int32);
  for (int32_t& label : labels.span<int32_t>()) label = int32_t(random.below(1000));
  const auto step = [&] {
    model.clear_gradients();
    Random noise(7);
    softmax_cross_entropy(model.forward(images, noise), labels).backward();
    for (const NamedTensor& p : model.parameters()) {  // plain SGD: the update's memory traffic
      float* w = p.tensor.data<float>();
      const float* g = p.tensor.grad().data<float>();
      for (int64_t i = 0; i < p.tensor.numel(); ++i) w[i] -= 0.001f * g[i];
    }
  };
  const double train = best_of(repeats, step);
  const int64_t peak = memory_use().peak;
  model.set_training(false);
  model.clear_gradients();
  release_cached_memory();
  const double eval = best_of(repeats, [&] {
    NoGrad no_grad;
    Random noise(7);
    model.forward(images, noise);
  });
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  fmt::print("{} batch {} {}px threads {}: train {:.2f} ms/image, forward {:.2f} ms/image, tensors peak {:.0f} MB, resident peak {:.0f} MB\n",
             name, batch, size, std::getenv("OMP_NUM_THREADS") ? std::getenv("OMP_NUM_THREADS") : "all", train / double(batch) * 1e3,
             eval / double(batch) * 1e3, double(peak) / 1e6, double(usage.ru_maxrss) / 1e3);
}
