// Lesson 12: a network of your own on a folder of images, with the training loop written out.
#include <fovea/fovea.h>
#include <fovea/train/data/image/image_io.h>
#include <fovea/train/data/loader/batches.h>
#include <fovea/train/data/loader/image_folder_dataset.h>
#include <fovea/train/data/synth/synth_shapes.h>
#include <fovea/train/evaluation/classification_metrics.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <sstream>

using namespace fovea;

namespace {

// ---- the network: each part is named once, where it is declared

struct Block : Module {
  Block(Module& parent, const std::string& name, int64_t in, int64_t out)
      : Module(parent, name),
        conv(*this, "conv", {.in = in, .out = out, .kernel = 3, .stride = 2, .bias = false}),
        norm(*this, "norm", out, Activation::swish) {}
  Tensor forward(const Tensor& x) const override { return norm(conv(x)); }

  Conv2d conv;
  BatchNorm norm;
};

struct Net : Module {
  using Module::Module;  // Net(seed)
  Block first{*this, "first", 3, 16}, second{*this, "second", 16, 32}, third{*this, "third", 32, 64};
  Dropout drop{*this, "drop", 0.1};
  Linear head{*this, "head", 64, 3};

  // images (N, H, W, 3) -> logits (N, 3)
  Tensor forward(const Tensor& images) const override {
    return head(drop(global_average_pool(third(second(first(images))))));
  }
};

// ---- the data: folder/<class>/<number>.png

void draw_images(const std::string& folder, int count, uint64_t seed) {
  constexpr int size = 48;
  for (const ShapeKind kind : {ShapeKind::ellipse, ShapeKind::ring, ShapeKind::cross}) {
    std::filesystem::create_directories(folder + "/" + shape_name(kind));
    for (int i = 0; i < count; ++i) {
      Random random(seed, uint64_t(kind) * 1000 + uint64_t(i));
      Image image(size, size);
      for (uint8_t& byte : image.pixels) byte = uint8_t(90 + random.below(60));
      const double extent = random.uniform(12, 20);
      const Mask mask = rasterize(
          {kind, random.uniform(20, 28), random.uniform(20, 28), extent, extent, random.uniform(0, 3)}, size,
          size);
      const uint8_t colour = random.chance(0.5) ? uint8_t(20) : uint8_t(230);
      for (int y = mask.top; y < mask.top + mask.height; ++y)
        for (int x = mask.left; x < mask.left + mask.width; ++x)
          for (size_t c = 0; c < 3 && mask.at(x, y) > 0.5; ++c)
            image.pixels[size_t(y * size + x) * 3 + c] = colour;
      write_image(fmt::format("{}/{}/{}.png", folder, shape_name(kind), i), image);
    }
  }
}

double measure(Net& net, const std::string& folder) {
  const NoGrad no_grad;  // nothing is recorded
  net.set_training(false);
  double right = 0, all = 0;
  for (const auto& [images, labels] : batches(image_folder(folder, {.size = 32}), {.batch_size = 16})) {
    right += accuracy(net(images), labels) * double(labels.numel());
    all += double(labels.numel());
  }
  net.set_training(true);
  return right / all;
}

}  // namespace

int main() try {
  draw_images("shapes/train", 120, 1);
  draw_images("shapes/val", 20, 2);

  Net net(7);  // the seed of its weights, and of dropout
  constexpr int epochs = 15;
  const auto shapes = image_folder("shapes/train", {.size = 32});
  auto loader = batches(shapes, {.batch_size = 16, .shuffle = true, .seed = 1, .workers = 2});
  AdamW optimizer(net.parameters());
  optimizer.set_schedule(
      WarmupCosine{.peak = 0.01, .warmup_steps = 10, .total_steps = epochs * loader.size()});

  std::printf("%lld parameters, %lld batches an epoch\n", (long long)net.parameter_count(),
              (long long)loader.size());
  double first_loss = 0, last_loss = 0, reached = 0;
  for (int epoch = 0; epoch < epochs; ++epoch) {
    last_loss = 0;  // the mean over the epoch
    for (const auto& [images, labels] : loader) {
      optimizer.clear_gradients();
      const Tensor loss = softmax_cross_entropy(net(images), labels);
      loss.backward();
      optimizer.step();
      last_loss += loss.item() / double(loader.size());
    }
    if (epoch == 0) first_loss = last_loss;
    reached = measure(net, "shapes/val");
    std::fprintf(stderr, "epoch %2d: loss %.3f, accuracy %.3f\n", epoch + 1, last_loss, reached);
  }
  std::printf("the loss fell to a third: %s\n", last_loss < first_loss / 3 ? "yes" : "no");
  std::printf("accuracy on images it has not seen, above 0.95: %s\n", reached > 0.95 ? "yes" : "no");
  save_weights("shapes.safetensors", net,
               {{"classes", fmt::format("{}", fmt::join(shapes->class_names(), "\n"))}});

  // ---- a prediction, as a program that has only the file would make it

  Net again(8);
  std::istringstream lines(load_weights("shapes.safetensors", again).metadata.at("classes"));
  std::vector<std::string> classes;
  for (std::string name; std::getline(lines, name);) classes.push_back(name);

  again.set_training(false);
  const NoGrad no_grad;
  const std::string file = "shapes/val/ring/0.png";
  const auto probabilities = softmax(again(read_image_for_classifier(file, 32))).values();
  const auto best = std::max_element(probabilities.begin(), probabilities.end());
  std::printf("%s: %s, probability %.1f\n", file.c_str(),
              classes[size_t(best - probabilities.begin())].c_str(), *best);
  std::printf("the same accuracy from the file: %s\n",
              measure(again, "shapes/val") == reached ? "yes" : "no");
} catch (const Error& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
