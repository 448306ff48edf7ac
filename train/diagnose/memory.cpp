#include "train/diagnose/memory.h"

#include <algorithm>
#include <fstream>
#include <functional>
#include <memory>

#include "core/dry_run.h"
#include "core/error.h"
#include "cuda/runtime/device.h"
#include "ops/arithmetic.h"
#include "ops/cross_entropy.h"
#include "ops/detection_loss.h"
#include "ops/shape_ops.h"
#include "train/classification/classifier.h"
#include "train/detection/detector.h"
#include "train/loop/initialization.h"

namespace fovea {
namespace {

// A batch as training has it: DetectionBatch, ClassificationBatch.
struct Batch {
  Tensor images, classes, boxes;
};

// A network with its loss, as DetectionTask::compute() and ClassificationTask::compute() have it.
struct Learner {
  std::unique_ptr<Module> model;
  std::function<Batch(Device)> make_batch;
  std::function<Tensor(const Batch&)> loss;
  Tensors constants;  // that stay on the device beside the weights
};

Learner detection_learner(const TrainConfig& config, int64_t classes, int64_t n) {
  const EfficientDetSpec spec = detector_spec(config);
  auto size = parse_image_size(config.image_size);
  if (size[0] == 0) size = {spec.image_size, spec.image_size};
  const int64_t anchors = count_anchors(size[0], size[1], spec.anchors);
  const Device device = parse_device(config.device);
  Random random(1);
  auto model = std::make_unique<EfficientDet>(spec, classes, random);
  const auto loss = [network = model.get(), config, device](const Batch& batch) {
    Random noise(1);
    const DetectorOutput output = network->forward(cast(batch.images, activation_dtype(config)), noise);
    const Tensor normalizer({}, DType::float32, device);
    return focal_loss(output.class_logits, batch.classes, normalizer) +
           config.box_loss_weight * huber_loss(output.box_codes, batch.boxes, normalizer);
  };
  const auto make_batch = [n, size, anchors](Device where) {
    return Batch{Tensor({n, size[0], size[1], 3}, DType::float32, where),
                 Tensor({n, anchors}, DType::int32, where), Tensor({n, anchors, 4}, DType::float32, where)};
  };
  Tensors constants;
  if (device == Device::cuda)  // the anchors, for matching and for detecting
    constants = {Tensor({anchors, 4}, DType::float32, device), Tensor({anchors, 4}, DType::float32, device)};
  return {std::move(model), make_batch, loss, constants};
}

Learner classification_learner(const TrainConfig& config, int64_t classes, int64_t n) {
  const EfficientNetSpec spec = classifier_spec(config);
  const int given = parse_image_size(config.image_size)[0];
  const int64_t size = given > 0 ? given : spec.image_size;
  Random random(1);
  auto model = std::make_unique<EfficientNet>(spec, classes, random);
  const auto loss = [network = model.get(), config](const Batch& batch) {
    Random noise(1);
    return softmax_cross_entropy(network->forward(cast(batch.images, activation_dtype(config)), noise),
                                 batch.classes);
  };
  const auto make_batch = [n, size](Device where) {
    return Batch{Tensor({n, size, size, 3}, DType::float32, where), Tensor({n}, DType::int32, where), {}};
  };
  return {std::move(model), make_batch, loss, {}};
}

}  // namespace

StepMemory step_memory(const TrainConfig& config, int64_t classes) {
  const bool detection = config.task == "detection";
  const int64_t n = config.batch_size > 0 ? config.batch_size : detection ? 4 : 16;
  const Device device = parse_device(config.device);
  StepMemory memory;
  const DryRun dry;
  int64_t before = 0;
  // What has come since the last call.
  const auto more = [&] {
    const int64_t now = dry.memory(device).current, difference = now - before;
    before = now;
    return difference;
  };

  Learner learner =
      detection ? detection_learner(config, classes, n) : classification_learner(config, classes, n);
  learner.model->to(device);
  learner.model->set_recompute(config.recompute);
  freeze(*learner.model, config);
  memory.weights = more();
  Tensors optimizer, averages;
  for (const NamedTensor& p : learner.model->parameters())
    for (int moment = 0; moment < (config.optimizer == "adamw" ? 2 : 1) && p.tensor.requires_grad(); ++moment)
      optimizer.push_back(empty_like(p.tensor));
  memory.optimizer = more();
  for (const NamedTensor& weight : state_dict(*learner.model)) averages.push_back(empty_like(weight.tensor));
  memory.averages = more();
  // On the CPU the batches that are ready or being made share the memory with those in use.
  std::vector<Batch> waiting, batches;
  for (int64_t i = 0; i < config.workers + 2; ++i) waiting.push_back(learner.make_batch(Device::cpu));
  for (int64_t i = 0; i < config.accumulate; ++i) batches.push_back(learner.make_batch(device));
  memory.batches = more();

  const int64_t passes = std::min<int64_t>(config.accumulate, 2);  // those after the second are like it
  for (int64_t i = 0; i < passes; ++i) {
    const Tensor loss = learner.loss(batches[size_t(i)]);
    if (i == 0) memory.activations = more();
    loss.backward();
  }
  for (const NamedTensor& p : learner.model->parameters())
    if (p.tensor.grad().defined()) memory.gradients += p.tensor.grad().bytes();
  memory.peak = dry.memory(device).peak;
  memory.reserved = dry.memory(device).reserved;
  return memory;
}

int64_t largest_batch(TrainConfig config, int64_t classes, int64_t bytes) {
  constexpr int64_t most = 4096;  // as check_config() has it
  const auto fits = [&](int64_t batch) {
    config.batch_size = batch;
    return step_memory(config, classes).reserved <= bytes;
  };
  int64_t good = 0, bad = 1;
  while (bad <= most && fits(bad)) good = std::exchange(bad, 2 * bad);
  bad = std::min(bad, most + 1);
  while (bad - good > 1) {
    const int64_t middle = (good + bad) / 2;
    (fits(middle) ? good : bad) = middle;
  }
  return good;
}

int64_t free_memory(Device device) {
  if (device == Device::cuda) return int64_t(cuda::free_memory_bytes());
  std::ifstream file("/proc/meminfo");
  for (std::string name, rest; file >> name && std::getline(file, rest);)
    if (name == "MemAvailable:") return std::stoll(rest) * 1024;
  fail("this system does not say how much memory is free: give --memory, like --memory 8GiB");
}

}  // namespace fovea
