// The time and memory of a training step and of a forward pass:
//   step_bench [model] [batch] [image size] [repeats] [classes of a detector]
//   step_bench model batch size repeats classes --json train|forward
//   step_bench ... --device cuda [--precision float32]       (default there: bfloat16; a step is one graph
//   replay)
// The second form measures only that one, so that the process's peak memory is its own, and prints each
// repeat's time for another program to read (bench/compare_pytorch.py).
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/timer.h"
#include "core/parallel.h"
#include "cuda/runtime/graph.h"
#include "models/efficientdet.h"
#include "ops/arithmetic.h"
#include "ops/cross_entropy.h"
#include "ops/detection_loss.h"
#include "ops/shape_ops.h"
#include "train/optimizer.h"

using namespace fovea;

namespace {

double resident_peak_mb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return double(usage.ru_maxrss) / 1e3;
}

// A network with what a step needs: loss() runs it in training mode, forward() in evaluation mode.
struct Subject {
  std::unique_ptr<Module> model;
  std::function<Tensor()> loss;
  std::function<void()> forward;
};

// Dropout and stochastic depth are off in both: what they draw is not what is compared.
Subject classifier(const std::string& name, const Tensor& images, Random& random) {
  EfficientNetSpec spec = efficientnet_spec(name);
  spec.dropout = spec.drop_path = 0;
  auto model = std::make_unique<EfficientNet>(spec, 1000, random);
  const EfficientNet& net = *model;
  Tensor labels({images.size(0)}, DType::int32);
  for (int32_t& label : labels.span<int32_t>()) label = int32_t(random.below(1000));
  labels.move_to(images.device());
  net.to(images.device());
  const auto noise = std::make_shared<Random>(7);
  return {
      std::move(model),
      [&net, images, labels, noise] { return softmax_cross_entropy(net.forward(images, *noise), labels); },
      [&net, images, noise] { net.forward(images, *noise); }};
}

Subject detector(const std::string& name, int64_t class_count, const Tensor& images, Random& random) {
  EfficientDetSpec spec = efficientdet_spec(name);
  spec.backbone.drop_path = 0;
  auto model = std::make_unique<EfficientDet>(spec, class_count, random);
  const EfficientDet& net = *model;
  const int64_t anchors = count_anchors(int(images.size(1)), int(images.size(2)), spec.anchors);
  Tensor classes = full({images.size(0), anchors}, background_target, DType::int32);
  Tensor boxes = zeros({images.size(0), anchors, 4});
  double normalizer = 1;  // positives + 1
  for (int64_t i = 0; i < classes.numel(); ++i) {
    if (!random.chance(0.005)) continue;
    classes.data<int32_t>()[i] = int32_t(random.below(class_count));
    for (int k = 0; k < 4; ++k) boxes.data<float>()[i * 4 + k] = random.normal();
    ++normalizer;
  }
  classes.move_to(images.device());
  boxes.move_to(images.device());
  net.to(images.device());
  const auto noise = std::make_shared<Random>(7);
  const auto loss = [&net, images, classes, boxes, normalizer, noise] {
    const DetectorOutput output = net.forward(images, *noise);
    return focal_loss(output.class_logits, classes, normalizer) +
           50 * huber_loss(output.box_codes, boxes, normalizer);
  };
  return {std::move(model), loss, [&net, images, noise] { net.forward(images, *noise); }};
}

// On CUDA the whole step is one graph, as in a training.
std::vector<double> time_training_on_cuda(const Subject& subject, int repeats) {
  Optimizer optimizer(subject.model->parameters(), {.momentum = 0, .weight_decay = 0, .clip_norm = 0});
  const auto step = [&] {
    subject.model->clear_gradients();
    subject.loss().backward();
    optimizer.apply();
  };
  cuda::Graph graph;
  for (int i = 0; i < 2; ++i) {
    optimizer.prepare(i, 0.001);
    graph.warm_up(step);
  }
  optimizer.prepare(2, 0.001);
  graph.capture(step);
  optimizer.prepare(2, 0.001);
  const std::vector<double> times = times_of(Device::cuda, repeats, [&] { graph.replay(); });
  subject.model->clear_gradients();
  return times;
}

std::vector<double> time_training(const Subject& subject, int repeats) {
  if (subject.model->device() == Device::cuda) return time_training_on_cuda(subject, repeats);
  return times_of(Device::cpu, repeats, [&] {
    subject.model->clear_gradients();
    subject.loss().backward();
    for (const NamedTensor& p : subject.model->parameters()) {  // plain SGD: the update's memory traffic
      float* w = p.tensor.data<float>();
      const float* g = p.tensor.grad().data<float>();
      for (int64_t i = 0; i < p.tensor.numel(); ++i) w[i] -= 0.001f * g[i];
    }
  });
}

std::vector<double> time_forward(const Subject& subject, int repeats) {
  subject.model->set_training(false);
  subject.model->clear_gradients();
  release_cached_memory();
  NoGrad no_grad;
  const Device device = subject.model->device();
  if (device == Device::cpu) return times_of(device, repeats, subject.forward);
  cuda::Graph graph;
  graph.warm_up(subject.forward);
  graph.capture(subject.forward);
  return times_of(device, repeats, [&] { graph.replay(); });
}

// Takes "--name value" out of the arguments.
std::string option(std::vector<std::string>& arguments, const std::string& name, std::string value) {
  const auto found = std::find(arguments.begin(), arguments.end(), name);
  if (found == arguments.end() || found + 1 == arguments.end()) return value;
  value = *(found + 1);
  arguments.erase(found, found + 2);
  return value;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  const Device device = parse_device(option(arguments, "--device", "cpu"));
  const bool half =
      option(arguments, "--precision", device == Device::cuda ? "bfloat16" : "float32") == "bfloat16";
  const std::string json = option(arguments, "--json", "");
  const auto argument = [&](size_t i, const char* other) {
    return i < arguments.size() ? arguments[i] : other;
  };
  const std::string name = argument(0, "efficientnet_b0");
  const int64_t batch = std::stoll(argument(1, "8")), size = std::stoll(argument(2, "224"));
  const int repeats = std::stoi(argument(3, "8"));
  const int64_t classes = std::stoll(argument(4, "90"));
  Random random(1);
  const Tensor images =
      cast(randn({batch, size, size, 3}, random), half ? DType::bfloat16 : DType::float32).to(device);
  const Subject subject = name.starts_with("efficientdet") ? detector(name, classes, images, random)
                                                           : classifier(name, images, random);
  if (!json.empty()) {
    const bool train = json == "train";
    const std::vector<double> times =
        train ? time_training(subject, repeats) : time_forward(subject, repeats);
    fmt::print("{{\"parameters\": {}, \"threads\": {}, \"seconds\": [{}], \"resident_peak_mb\": {:.1f}}}\n",
               subject.model->parameter_count(), num_threads(), fmt::join(times, ", "), resident_peak_mb());
    return 0;
  }
  const auto milliseconds_per_image = [&](const std::vector<double>& times) {
    return *std::min_element(times.begin(), times.end()) * 1e3 / double(batch);
  };
  const double train = milliseconds_per_image(time_training(subject, repeats));
  const int64_t tensors_peak = device == Device::cuda ? cuda::device_memory_use().peak : memory_use().peak;
  const double forward = milliseconds_per_image(time_forward(subject, repeats));
  fmt::print(
      "{} {} {} batch {} {}px threads {}: train {:.2f} ms/image, forward {:.2f} ms/image, tensors peak "
      "{:.0f} MB, "
      "resident peak {:.0f} MB\n",
      name, fovea::name(device), half ? "bfloat16" : "float32", batch, size, num_threads(), train, forward,
      double(tensors_peak) / 1e6, resident_peak_mb());
}
