// MixUp for classifiers: soft targets and their loss.
#include <catch2/catch.hpp>
#include <cmath>

#include "ops/arithmetic.h"
#include "ops/cross_entropy.h"
#include "tests/support/test_data.h"
#include "train/classification/classification_recipe.h"
#include "train/classification/classification_task.h"
#include "train/data/image/image_io.h"
#include "train/loop/device_batch.h"
#include "train/loop/resolve_config.h"

using namespace fovea;

namespace {

constexpr int dark = 40, bright = 190;

// Eight images of one colour each, half of them dark and half of them bright.
ClassificationDataset colours(const TemporaryFolder& folder) {
  ClassificationDataset dataset;
  dataset.name = "colours";
  dataset.class_names = {"dark", "bright"};
  for (int i = 0; i < 8; ++i) {
    Image image(40, 32);
    std::fill(image.pixels.begin(), image.pixels.end(), uint8_t(i < 4 ? dark : bright));
    dataset.images.push_back({fmt::format("{}/{}.png", folder.path(), i), i / 4});
    write_image(dataset.images.back().file, image);
  }
  return dataset;
}

TrainConfig tiny_config() {
  TrainConfig config;
  config.data = "colours";
  config.task = "classification";
  config.model = "efficientnet_b-3";
  config.image_size = "32";
  config.batch_size = 8;
  config.steps = 10;
  config.mixup = 0.5;
  return resolve_config(config, 8);
}

}  // namespace

TEST_CASE("the loss of mixed images is the sum of both labels' losses by their shares") {
  TrainConfig config = tiny_config();
  const std::vector<double> logits{0.5, -1, 2, 3, 0, -2}, shares{0.7, 0.2};
  const std::vector<double> first{0, 2}, second{1, 0};
  for (const double smoothing : {0.0, 0.1})
    for (const std::vector<double>& weights : std::vector<std::vector<double>>{{}, {2, 1, 0.5}}) {
      CAPTURE(smoothing, weights.size());
      config.label_smoothing = smoothing;
      const Tensor soft = zeros({2, 3});
      double expected = 0;
      std::vector<double> gradient(6);
      for (size_t row = 0; row < 2; ++row)
        for (const auto& [label, share] :
             {std::pair(first[row], shares[row]), std::pair(second[row], 1 - shares[row])}) {
          add_to_soft_target(soft.span<float>().subspan(3 * row, 3), int(label), share, smoothing, weights);
          const Tensor x = from_values({1, 3}, {logits[3 * row], logits[3 * row + 1], logits[3 * row + 2]});
          x.set_requires_grad(true);
          const Tensor loss = softmax_cross_entropy(x, from_values({1}, {label}, DType::int32), smoothing,
                                                    weights.empty() ? Tensor() : from_values({3}, weights));
          loss.backward();
          expected += share * loss.item() / 2;
          for (size_t k = 0; k < 3; ++k) gradient[3 * row + k] += share * x.grad().values()[k] / 2;
        }
      for (const Device device : {Device::cpu, Device::cuda})
        for (const DType dtype : {DType::float32, DType::bfloat16}) {
          if (device == Device::cpu && dtype == DType::bfloat16) continue;
          CAPTURE(name(device), dtype);
          config.device = name(device);
          const auto model = make_classification_network(config, 3);
          const Recipe recipe = classification_recipe(model, casts_of(*model, dtype), config, weights);
          const Tensor x = from_values({2, 3}, logits, dtype).to(device);
          x.set_requires_grad(true);
          const Tensor loss = recipe.losses({x}, {soft.to(device)}).front().tensor;
          loss.backward();
          CHECK(loss.dtype() == DType::float32);
          CHECK(loss.item() == Approx(expected).epsilon(1e-5));
          const double rounding = dtype == DType::bfloat16 ? 0.004 : 1e-5;
          for (size_t k = 0; k < 6; ++k)
            CHECK(x.grad().to(Device::cpu).values()[k] == Approx(gradient[k]).epsilon(rounding).margin(1e-6));
        }
    }
}

TEST_CASE("a classifier's mixed images and their targets have the same shares, on CUDA as well") {
  const TemporaryFolder folder;
  const ClassificationDataset dataset = colours(folder);
  const auto batch_of = [&](const TrainConfig& config, int64_t index) {
    ClassificationTask task(config, dataset, dataset);
    DeviceBatch batch(parse_device(config.device));
    batch.load(task.make_batch(index), index);
    return batch.batch();
  };
  TrainConfig config = tiny_config();
  int mixed = 0, all = 0;
  for (int64_t index = 0; index < 12; ++index) {
    const Batch batch = batch_of(config, index);
    CHECK(batch.targets[0].shape() == Shape{8, 2});
    for (size_t k = 0; k < 8; ++k, ++all) {
      const double share = batch.targets[0].values()[2 * k + 1];  // of bright
      CHECK(batch.targets[0].values()[2 * k] == Approx(1 - share).margin(1e-6));
      mixed += share > 1e-6 && share < 1 - 1e-6;
      const double byte = 255 * (0.485 + 0.229 * batch.images.values()[k * 32 * 32 * 3]);
      CHECK(byte == Approx(dark + share * (bright - dark)).margin(0.51));
    }
  }
  // A quarter mixes two classes; in some of these a share is less than the rounding of the other.
  CHECK(double(mixed) / all == Approx(0.25).margin(0.12));

  const Batch expected = batch_of(config, 3);
  config.device = "cuda";
  config.precision = "float32";
  const Batch batch = batch_of(config, 3);
  CHECK(batch.targets[0].to(Device::cpu).values() == expected.targets[0].values());
  const std::vector<double> pixels = batch.images.to(Device::cpu).values();
  for (size_t i = 0; i < pixels.size(); ++i)
    REQUIRE(pixels[i] == Approx(expected.images.values()[i]).epsilon(1e-5).margin(1e-5));

  config = tiny_config();
  config.mixup = 0;
  CHECK(batch_of(config, 0).targets[0].dtype() == DType::int32);
}
