// Networks in training with and without recomputation: the same bits, less memory.
#include "core/recompute.h"

#include <catch2/catch.hpp>
#include <memory>

#include "cuda/runtime/graph.h"
#include "models/efficientdet.h"
#include "ops/arithmetic.h"
#include "ops/reduction.h"

using namespace fovea;

namespace {

struct Learner {
  std::shared_ptr<Module> model;
  std::function<Tensor()> loss;
};

Learner classifier(const std::string& name, int64_t batch, int64_t size, Device device = Device::cpu) {
  EfficientNetSpec spec = efficientnet_spec(name);
  spec.drop_path = 0.5;
  Random random(3);
  const auto net = std::make_shared<EfficientNet>(spec, 10, random);
  net->to(device);
  const Tensor images = randn({batch, size, size, 3}, random).to(device);
  return {net, [net, images] {
            net->rng() = Random(5);
            return sum(net->forward(images));
          }};
}

Learner detector(const std::string& name, int64_t batch, int64_t size, Device device = Device::cpu) {
  EfficientDetSpec spec = efficientdet_spec(name);
  spec.backbone.drop_path = 0.5;
  Random random(3);
  const auto net = std::make_shared<EfficientDet>(spec, 4, random);
  net->to(device);
  const Tensor images = randn({batch, size, size, 3}, random).to(device);
  return {net, [net, images] {
            net->rng() = Random(5);
            const DetectorOutput output = net->outputs(images);
            return mean(output.class_logits) + mean(output.box_codes);
          }};
}

using Numbers = std::vector<std::vector<double>>;

// The loss, the gradients, and the running averages after one more step.
Numbers after_step(const Learner& learner, bool recompute) {
  learner.model->set_recompute(recompute);
  const Tensor loss = learner.loss();
  loss.backward();
  Numbers numbers{loss.values()};
  for (const NamedTensor& p : learner.model->parameters()) numbers.push_back(p.tensor.grad().values());
  for (const NamedTensor& b : learner.model->buffers()) numbers.push_back(b.tensor.values());
  return numbers;
}

void check_same(const std::function<Learner()>& make) {
  const Numbers plain = after_step(make(), false), again = after_step(make(), true);
  REQUIRE(plain.size() == again.size());
  size_t different = 0;
  for (size_t i = 0; i < plain.size(); ++i) different += plain[i] != again[i];
  CHECK(different == 0);
}

Learner with_frozen_statistics(Learner learner) {
  learner.model->for_each([](Module& module) { module.freeze_statistics(true); });
  return learner;
}

// The peak memory of a step, without the weights.
int64_t peak_of_step(const Learner& learner, bool recompute) {
  learner.model->set_recompute(recompute);
  learner.model->clear_gradients();
  const int64_t before = memory_use().current;
  reset_peak_memory();
  learner.loss().backward();
  return memory_use().peak - before;
}

}  // namespace

TEST_CASE("recomputation gives a training network the same gradients and running averages, bit for bit") {
  check_same([] { return classifier("efficientnet_b0", 2, 64); });
  check_same([] { return detector("efficientdet_d-2", 2, 64); });
  check_same([] { return detector("tf_efficientdet_d0", 1, 64); });
}

TEST_CASE("recomputation gives the same bits where norms use their running averages") {
  // Under NoGrad alone, convolutions would apply these norms, in blocks of rows instead of columns.
  check_same([] { return with_frozen_statistics(classifier("efficientnet_b0", 2, 64)); });
  check_same([] { return with_frozen_statistics(detector("efficientdet_d-2", 4, 128)); });
  check_same([] { return with_frozen_statistics(detector("efficientdet_d-3", 1, 32, Device::cuda)); });
}

TEST_CASE("recomputation on CUDA gives the same bits, as a captured graph") {
  const auto replayed = [](bool recompute) {
    const Learner learner = detector("efficientdet_d-3", 1, 32, Device::cuda);
    learner.model->set_recompute(recompute);
    const auto work = [&] {
      learner.model->clear_gradients();
      learner.loss().backward();
    };
    cuda::Graph graph;
    graph.warm_up(work);
    graph.capture(work);
    graph.replay();
    Numbers numbers;
    for (const NamedTensor& p : learner.model->parameters()) numbers.push_back(p.tensor.grad().values());
    for (const NamedTensor& b : learner.model->buffers()) numbers.push_back(b.tensor.values());
    learner.model->clear_gradients();
    return numbers;
  };
  CHECK(replayed(true) == replayed(false));
}

TEST_CASE("recomputation needs a fraction of the memory") {
  for (const auto& [learner, fraction] : {std::pair(classifier("efficientnet_b0", 4, 128), 0.53),
                                          std::pair(detector("efficientdet_d-2", 4, 128), 0.65)}) {
    const int64_t plain = peak_of_step(learner, false), again = peak_of_step(learner, true);
    CAPTURE(plain, again);
    CHECK(double(again) < fraction * double(plain));
  }
}

TEST_CASE("an evaluation and a frozen part are the same as without recomputation") {
  const auto figures = [](bool recompute) {
    const Learner learner = detector("efficientdet_d-3", 1, 64);
    learner.model->set_recompute(recompute);
    learner.model->for_each([](Module& module) {
      if (module.path() == "backbone") module.freeze();
    });
    learner.loss().backward();
    Numbers numbers;
    for (const NamedTensor& p : learner.model->parameters())
      numbers.push_back(p.tensor.grad().defined() ? p.tensor.grad().values() : std::vector<double>{});
    for (const NamedTensor& b : learner.model->buffers()) numbers.push_back(b.tensor.values());
    learner.model->set_training(false);
    const NoGrad no_grad;
    numbers.push_back(learner.loss().values());
    return numbers;
  };
  CHECK(figures(true) == figures(false));
}
