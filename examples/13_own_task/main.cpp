// Lesson 13: a task of your own, semantic segmentation, in the trainer, which adds checkpoints, averaged
// weights, metrics and resuming.
#include <fovea/fovea.h>
#include <fovea/train/data/synth/synth_shapes.h>
#include <fovea/train/loop/resolve_config.h>
#include <fovea/train/loop/trainer.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

using namespace fovea;

namespace {

constexpr int size = 64, cell = 8, grid = size / cell;  // one prediction for 8 x 8 pixels
constexpr int classes = 4;                              // background, ellipse, rectangle, star

// ---- the network: features of EfficientNet, joined by a BiFPN, and one convolution

struct Segmenter : Module {
  explicit Segmenter(uint64_t seed) : Module(seed) {
    fpn = std::make_unique<BiFpn>(spec.fpn, backbone.feature_channels(), rng());
    add_child("fpn", *fpn);
    head = std::make_unique<Conv2d>(*this, "head",
                                    Conv2dOptions{.in = spec.fpn.channels, .out = classes, .kernel = 1});
  }
  // images (N, H, W, 3) -> logits (N, H / 8, W / 8, classes), from the pyramid's finest level
  Tensor forward(const Tensor& images) const override {
    return head->forward(fpn->forward(backbone.features(images)).front());
  }

  EfficientDetSpec spec = efficientdet_spec("efficientdet_d-3");
  EfficientNet backbone{*this, "backbone", spec.backbone};
  std::unique_ptr<BiFpn> fpn;
  std::unique_ptr<Conv2d> head;
};

// The recipe: the network and its loss, the mean over all cells.
Recipe segmentation(uint64_t seed) {
  const auto model = std::make_shared<Segmenter>(seed);
  return {.model = model,
          .forward = [model](const Tensor& images) { return Tensors{model->forward(images)}; },
          .losses =
              [](const Tensors& outputs, const Tensors& targets) {
                const Tensor logits = reshape(outputs[0], {outputs[0].numel() / classes, classes});
                return std::vector<NamedTensor>{{"train/loss", softmax_cross_entropy(logits, targets[0])}};
              }};
}

// ---- the data: each image is drawn when a batch needs it, as a function of the set and the image's number

// Three shapes on grey noise: pixels (size, size, 3), and the class that covers the middle of each cell.
void draw(Random random, float* pixels, int32_t* labels) {
  for (int i = 0; i < size * size * 3; ++i) pixels[i] = 0.3f * random.normal();
  for (int i = 0; i < grid * grid; ++i) labels[i] = 0;
  for (int shape = 0; shape < 3; ++shape) {
    const int kind = int(random.below(classes - 1));
    const double extent = random.uniform(8, 16);
    const DrawnShape drawn{ShapeKind(kind), random.uniform(12, size - 12),    random.uniform(12, size - 12),
                           extent,          extent * random.uniform(0.6f, 1), random.uniform(0, 3)};
    const float colour[3] = {random.uniform(-2, 2), random.uniform(-2, 2), random.uniform(-2, 2)};
    const Mask mask = rasterize(drawn, size, size);
    for (int y = mask.top; y < mask.top + mask.height; ++y)
      for (int x = mask.left; x < mask.left + mask.width; ++x) {
        const float share = mask.at(x, y);
        float* pixel = pixels + (y * size + x) * 3;
        for (int c = 0; c < 3; ++c) pixel[c] += share * (colour[c] - pixel[c]);
        const bool middle = x % cell == cell / 2 && y % cell == cell / 2;
        if (middle && share > 0.5) labels[y / cell * grid + x / cell] = kind + 1;
      }
  }
}

class Segmentation : public Task {
 public:
  explicit Segmentation(const TrainConfig& config)
      : Task(segmentation(uint64_t(config.seed))), batch_size_(config.batch_size) {}

  int64_t training_images() const override { return 1024; }
  Batch make_batch(int64_t index) override { return batch(index * batch_size_, batch_size_, 1); }

  // Mean IoU: for each class, the cells where prediction and truth agree, divided by the cells where either
  // has that class.
  NamedValues evaluate() override {
    const NoGrad no_grad;
    double both[classes] = {}, either[classes] = {};
    for (int64_t first = 0; first < 32; first += 8) {
      const Batch measured = batch(first, 8, 2);
      const std::vector<double> logits = model()(measured.images).values();
      const auto truths = measured.targets[0].span<int32_t>();
      for (size_t i = 0; i < truths.size(); ++i) {
        const auto row = logits.begin() + long(i) * classes;
        const auto found = std::max_element(row, row + classes) - row;
        const auto truth = truths[i];
        ++either[truth];
        if (found == truth)
          ++both[truth];
        else
          ++either[found];
      }
    }
    double mean = 0;
    for (int c = 0; c < classes; ++c) mean += both[c] / either[c] / classes;
    return {{"validation/mean_iou", mean}};
  }

 private:
  // Returns images first .. first + count - 1 of set 1 (training) or 2 (validation).
  static Batch batch(int64_t first, int64_t count, uint64_t set) {
    const Tensor images({count, size, size, 3}), labels({count * grid * grid}, DType::int32);
    for (int64_t i = 0; i < count; ++i)
      draw(Random(set, uint64_t(first + i) % 1024), images.data<float>() + i * size * size * 3,
           labels.data<int32_t>() + i * grid * grid);
    return {images, {labels}};
  }

  int64_t batch_size_;
};

}  // namespace

int main() try {
  std::filesystem::remove_all("segmentation");
  TrainingState state;
  TrainConfig& config = state.config;
  config.task = "segmentation";
  config.data = "drawn shapes";
  config.batch_size = 8;
  config.steps = 384;
  config.learning_rate = 0.01;
  config.validate_every = 1;  // epochs of 128 steps
  config = resolve_config(config, 1024);
  state.class_names = {"background", "ellipse", "rectangle", "star"};
  state.category_ids = {0, 1, 2, 3};

  // Stop after 100 steps, as Ctrl-C would: the trainer finishes the running step.
  std::atomic<bool> stop = false;
  TrainHooks hooks;
  hooks.stop = &stop;
  hooks.on_step = [&](const TrainProgress& progress) { stop = progress.step == 99; };
  Segmentation first(config);
  const bool complete = Trainer(first, state, "segmentation", hooks).run();
  std::printf("complete after 100 steps: %s\n", complete ? "yes" : "no");

  // Resume, as another program would: the folder has everything that it needs.
  Segmentation second(config);
  Trainer trainer(second, state, "segmentation", {});
  trainer.resume(Checkpoint("segmentation/last.safetensors"));
  std::printf("goes on at step %lld\n", (long long)trainer.step());
  trainer.run();
  const auto& [name, iou] = trainer.figures().front();
  std::printf("%s above 0.5: %s\n", name.c_str(), iou > 0.5 ? "yes" : "no");
  for (const char* file : {"best.safetensors", "last.safetensors", "config.json", "metrics.csv"})
    std::printf("%-18s %s\n", file,
                std::filesystem::exists(std::string("segmentation/") + file) ? "written" : "missing");
} catch (const Error& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
