// Runs a model once on given weights and images, for compare.py:
//   exactness_run MODEL weights.safetensors images.safetensors FOLDER [--train]
// weights: with timm's or effdet's names and layouts. images: one tensor "images" (N, 3, H, W), normalised.
//
// In evaluation FOLDER/outputs.safetensors gets "logits" (N, 1000), or "level 3" and so on (N, H, W,
// channels), "class_logits" and "box_codes" (N, anchors, 90 or 4), and FOLDER/weights.safetensors the output
// of save_weights().
//
// With --train outputs.safetensors gets one step of a detector on formula::objects(), without stochastic
// depth: "loss/total", "loss/class", "loss/box", "gradient/<name>" of each parameter, and "statistics/<name>"
// of each running average after the step, with the published names and layouts.
//
// Prints {"parameters": n, "multiply_adds": n}, the latter for the whole batch.
#include <cstdio>
#include <cstring>
#include <exception>

#include "core/error.h"
#include "models/weights.h"
#include "nn/trace.h"
#include "tests/support/objects_loss.h"

using namespace fovea;

namespace {

struct Files {
  std::string weights, images, folder;
};

// (N, C, H, W) -> (N, H, W, C)
Tensor channels_last(const Tensor& x) {
  const int64_t n = x.size(0), c = x.size(1), area = x.size(2) * x.size(3);
  Tensor y({n, x.size(2), x.size(3), c});
  for (int64_t i = 0; i < n; ++i)
    for (int64_t k = 0; k < c; ++k)
      for (int64_t p = 0; p < area; ++p)
        y.data<float>()[(i * area + p) * c + k] = x.data<float>()[(i * c + k) * area + p];
  return y;
}

Tensor read_images(const std::string& path) {
  const SafetensorsFile file(path);
  const auto* entry = file.find("images");
  require(entry && entry->shape.rank() == 4 && entry->shape[1] == 3,
          "{} has no tensor \"images\" of shape (N, 3, H, W)", path);
  return channels_last(file.read_float32(*entry));
}

void write_outputs(const Files& files, const std::vector<NamedTensor>& outputs) {
  write_safetensors(files.folder + "/outputs.safetensors", {}, outputs);
}

void print_counts(const Module& model, const Trace& trace) {
  int64_t multiply_adds = 0;
  for (const TracedLayer& layer : trace.layers) multiply_adds += layer.multiply_adds;
  fmt::print("{{\"parameters\": {}, \"multiply_adds\": {}}}\n", model.parameter_count(), multiply_adds);
}

void evaluate(EfficientNet& model, const Files& files) {
  const NoGrad no_grad;
  const Trace trace;
  load_weights(files.weights, model);
  model.set_training(false);
  write_outputs(files, {{"logits", model.forward(read_images(files.images))}});
  save_weights(files.folder + "/weights.safetensors", model);
  print_counts(model, trace);
}

void evaluate(EfficientDet& model, const Files& files) {
  const NoGrad no_grad;
  load_weights(files.weights, model);
  model.set_training(false);
  const Tensor images = read_images(files.images);
  std::vector<NamedTensor> outputs;
  for (const Tensor& level : model.pyramid(images))
    outputs.push_back({fmt::format("level {}", model.spec().fpn.min_level + int(outputs.size())), level});
  const Trace trace;  // of this one pass
  const DetectorOutput output = model.outputs(images);
  outputs.push_back({"class_logits", output.class_logits});
  outputs.push_back({"box_codes", output.box_codes});
  write_outputs(files, outputs);
  save_weights(files.folder + "/weights.safetensors", model);
  print_counts(model, trace);
}

void train(EfficientDet& model, const Files& files) {
  load_weights(files.weights, model);
  const Tensor images = read_images(files.images);
  const ObjectsLoss loss(model, images.size(0), int(images.size(1)), int(images.size(2)));
  const Trace trace;
  const ObjectsLoss::Losses losses = loss(model.outputs(images));
  losses.total.backward();
  std::vector<NamedTensor> outputs = {
      {"loss/total", losses.total}, {"loss/class", losses.classes}, {"loss/box", losses.boxes}};
  // published_weights() converts layouts of weights, so the gradients take the weights' places.
  for (const NamedTensor& p : model.parameters()) p.tensor.copy_from(p.tensor.grad().clone());
  for (const NamedTensor& t : published_weights(model)) {
    const bool statistics = t.name.find("running_") != std::string::npos;
    outputs.push_back({(statistics ? "statistics/" : "gradient/") + t.name, t.tensor});
  }
  write_outputs(files, outputs);
  print_counts(model, trace);
}

void run(const std::string& name, const Files& files, bool training) {
  Random random(1);
  if (name.find("efficientdet") == std::string::npos) {
    require(!training, "--train is for detectors: {} is not one", name);
    EfficientNet model(efficientnet_spec(name), 1000, random);
    return evaluate(model, files);
  }
  EfficientDetSpec spec = efficientdet_spec(name);
  spec.backbone.drop_path = 0;
  EfficientDet model(spec, 90, random);
  training ? train(model, files) : evaluate(model, files);
}

}  // namespace

int main(int count, char** arguments) try {
  const bool training = count == 6 && std::strcmp(arguments[5], "--train") == 0;
  require(count == 5 || training,
          "exactness_run takes MODEL weights.safetensors images.safetensors FOLDER [--train]");
  run(arguments[1], {arguments[2], arguments[3], arguments[4]}, training);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "exactness_run: %s\n", error.what());
  return 1;
}
