#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <optional>
#include <sstream>

#include "cli/commands.h"
#include "core/dry_run.h"
#include "core/error.h"
#include "core/file.h"
#include "models/efficientdet.h"
#include "nn/trace.h"
#include "ops/support/op_list.h"
#include "train/data/image/image_io.h"
#include "train/diagnose/memory.h"
#include "train/loop/config.h"
#include "train/loop/model_file.h"
#include "train/report/network_drawing.h"
#include "train/run/task_kind.h"

namespace fovea {
namespace {

struct InfoFlags {
  TrainConfig config;  // model, image size, and what affects memory
  std::string graph, model_of_file;
  int64_t classes = 0;
  uint64_t memory = 0;
  bool summary = false, recompute = false;
};

void print_trace(const Trace& trace, const Module& model, bool layers) {
  int64_t multiply_adds = 0, bytes = 0;
  if (layers)
    fmt::print("{:<52} {:<22} {:>16} {:>11} {:>12}\n", "layer", "kind", "output", "parameters", "mult-adds");
  for (const TracedLayer& layer : trace.layers) {
    multiply_adds += layer.multiply_adds;
    bytes += layer.output.numel() * int64_t(sizeof(float));
    if (layers)
      fmt::print("{:<52} {:<22} {:>16} {:>11} {:>12}\n", layer.path, layer.kind, layer.output.to_string(),
                 layer.parameters, layer.multiply_adds);
  }
  fmt::print("parameters         {:>14}  ({:.2f} M)\n", model.parameter_count(),
             double(model.parameter_count()) / 1e6);
  fmt::print("multiply-adds      {:>14}  ({:.3f} G per image; the papers' \"FLOPs\")\n", multiply_adds,
             double(multiply_adds) / 1e9);
  fmt::print("layers' outputs    {:>14}  bytes per image in float32 ({:.1f} MB)\n", bytes,
             double(bytes) / 1e6);
}

// What `fovea info` describes: the weights file, if one was named, and the training settings.
struct Subject {
  TrainConfig config;
  std::optional<ModelFile> file;
  int64_t classes = 0;
};

Subject subject_of(const InfoFlags& flags) {
  Subject subject{flags.config, {}, flags.classes};
  TrainConfig& config = subject.config;
  if (config.model.ends_with(".safetensors")) {
    subject.file.emplace(config.model, ModelFile::Options{flags.model_of_file, ""});
    config.model = subject.file->state().config.model;
    if (const TrainConfig& trained = subject.file->state().config; subject.file->is_checkpoint()) {
      config.aspect_ratios = trained.aspect_ratios;
      config.anchor_scale = trained.anchor_scale;
      for (const auto field : {&TrainConfig::image_size, &TrainConfig::fpn, &TrainConfig::fusion})
        if (config.*field == TrainConfig().*field) config.*field = trained.*field;
    }
    require(flags.classes == 0, "{} stores its classes: leave out --classes", flags.config.model);
    subject.classes = int64_t(subject.file->state().class_names.size());
  }
  config.task = task_of_model(config.model);
  if (subject.classes == 0) subject.classes = task_kind(config.task).default_classes;
  require(config.task == "detection" ||
              (config.fpn == "default" && config.fusion == "default" && config.multi_scale == 0),
          "{} is not a detector: leave out --fpn, --fusion and --multi-scale", config.model);
  return subject;
}

// The network on the CPU. While a DryRun exists, it computes only shapes.
Recipe recipe_on_cpu(const Subject& subject) {
  TrainConfig config = subject.config;
  config.device = "cpu";
  config.precision = "float32";
  config.batch_size = 1;
  config.multi_scale = 0;
  return make_recipe(config, subject.classes);
}

void print_layers(const Subject& subject, bool layers) {
  const DryRun dry;
  const NoGrad no_grad;
  const Recipe recipe = recipe_on_cpu(subject);
  const Batch batch = recipe.empty_batch(Device::cpu);
  fmt::print("{}, {}x{} px\n", subject.config.model, batch.images.size(1), batch.images.size(2));
  recipe.model->set_training(false);
  Trace trace;
  const Tensors outputs = recipe.forward(batch.images);
  print_trace(trace, *recipe.model, layers);
  if (const auto* detector = dynamic_cast<const EfficientDet*>(recipe.model.get()))
    fmt::print("anchors            {:>14}  (scale {}, {} a cell, levels {} to {})\n", outputs[0].size(1),
               detector->spec().anchors.anchor_scale, detector->spec().anchors.per_cell(),
               detector->spec().fpn.min_level, detector->spec().fpn.max_level);
}

// The drawing of the network, with the weights of the file if there is one.
std::string drawing(const Subject& subject) {
  const Recipe recipe = recipe_on_cpu(subject);
  const Shape size = recipe.empty_batch(Device::cpu).images.shape();
  if (subject.file) subject.file->restore(*recipe.model);
  if (const auto* detector = dynamic_cast<const EfficientDet*>(recipe.model.get()))
    return draw_network(*detector, int(size[1]), int(size[2]), subject.file.has_value());
  return draw_network(dynamic_cast<const EfficientNet&>(*recipe.model), int(size[1]));
}

void print_memory(const Subject& subject, int64_t limit) {
  const TrainConfig& config = subject.config;
  require(config.device == "cuda" || config.precision != "bfloat16",
          "--precision is 'bfloat16' with --device cpu, which computes in float32: leave it out, or choose "
          "--device cuda");
  const StepMemory memory = step_memory(config, subject.classes);
  const auto row = [](const char* what, int64_t bytes, const char* explanation) {
    fmt::print("{:<18} {:>11.1f} MB  {}\n", what, double(bytes) / 1e6, explanation);
  };
  fmt::print("\na training step of {}{} image{} on {}, {}, {}{}\n",
             config.accumulate > 1 ? fmt::format("{} x ", config.accumulate) : "", config.batch_size,
             images_per_step(config) == 1 ? "" : "s", config.device, activation_dtype(config),
             config.optimizer, config.recompute ? ", recomputing" : "");
  row("weights", memory.weights, "");
  row("averages", memory.averages, "of the weights, which are evaluated and saved");
  row("optimizer", memory.optimizer, "its moments");
  row("batches", memory.batches,
      config.device == "cpu" ? "images and targets, including those that wait" : "");
  row("activations", memory.activations, "kept for the backward pass");
  row("gradients", memory.gradients, "of the weights");
  row("peak", memory.peak, "in use at once; gradients are created as activations are freed");
  row("reserved", memory.reserved, "including freed memory that is kept for reuse");
  const bool given = limit > 0;
  if (!given) limit = free_memory(parse_device(config.device));
  const int64_t largest = largest_batch(config, subject.classes, limit);
  fmt::print("largest batch      {:>14}  in {:.1f} GB{}\n", largest, double(limit) / 1e9,
             given ? "" : ", which are free now");
  if (config.device == "cpu")
    fmt::print(
        "                                   in addition: the program, about 60 MB, and images, up to "
        "--cache-mb\n");
}

void run_info(const InfoFlags& flags) {
  protect_files(std::vector{flags.config.model});
  Subject subject = subject_of(flags);
  subject.config.recompute = flags.recompute;
  if (!flags.graph.empty()) {
    write_file_atomically(flags.graph, drawing(subject));
    fmt::print("wrote a drawing of {} to {}\n", subject.config.model, flags.graph);
    return;
  }
  print_layers(subject, !flags.summary && subject.config.batch_size == 0);
  require(
      subject.config.batch_size > 0 || (flags.memory == 0 && !flags.recompute &&
                                        subject.config.accumulate == 1 && subject.config.multi_scale == 0),
      "--memory, --recompute, --accumulate and --multi-scale apply to a training step: also give --batch");
  if (subject.config.batch_size > 0) print_memory(subject, int64_t(flags.memory));
}

// Prints one paragraph per stem: `ops/<stem>.h` says what its ops compute, and the kernel files say how.
void print_ops() {
  for (const OpStem& row : op_stems()) {
    fmt::print("{}\n  ops      {}\n", row.stem,
               row.ops.empty() ? "(called directly by training and detection)" : row.ops);
    std::istringstream files(row.kernels);
    for (std::string stem; files >> stem;)
      for (const KernelFile& file : kernel_files())
        if (file.stem == stem)
          fmt::print("  kernels  cuda/kernels/{}.cu: {}\n  dtypes   {} (cpu: float32 float64)\n", stem,
                     file.kernels, file.dtypes);
    fmt::print("  tests    {}\n", row.tests);
  }
}

}  // namespace

void add_info_command(CLI::App& program) {
  auto flags = std::make_shared<InfoFlags>();
  CLI::App* command =
      program.add_subcommand("info", "Show a model's layers and memory, or list the models or the ops");
  TrainConfig& config = flags->config;
  config.model = "";
  command->footer(
      "\nExamples:\n"
      "  fovea info efficientdet_d0                      every layer, its sizes and its cost\n"
      "  fovea info efficientdet_d0 --batch 8            the memory of a training step\n"
      "  fovea info efficientdet_d0 --graph d0.svg       a drawing of the network\n"
      "  fovea info runs/1/best.safetensors --graph my.svg       the same with the BiFPN's learned weights\n"
      "  fovea info ops                                  every op, its kernels and tests");
  command->add_option(
      "model", config.model,
      "name of a model, a file of weights (*.safetensors), or `ops`; without a name, list the models");
  command->add_option("--model", flags->model_of_file,
                      "model of published weights, e.g. tf_efficientdet_d0 (default: from the file name)");
  command->add_option(
      "--image-size", config.image_size,
      "input size in pixels: 256, or height x width such as 240x320 (default: the model's own)");
  command->add_option("--fpn", config.fpn, "connections between a detector's levels, as for `fovea train`")
      ->check(CLI::IsMember({"default", "bifpn", "top_down", "top_down_bottom_up", "fully_connected"}));
  command->add_option("--fusion", config.fusion, "how BiFPN nodes weigh their inputs, as for `fovea train`")
      ->check(CLI::IsMember({"default", "fast_normalized", "softmax", "sum"}));
  command->add_option("--classes", flags->classes,
                      "number of classes (default, as published: 1000, for detectors 90)");
  command->add_flag("--summary", flags->summary, "print only the totals, not every layer");
  command->add_option("--graph", flags->graph,
                      "write an SVG drawing of the network to this file and print nothing else");
  command
      ->add_option(
          "--batch-size,--batch", config.batch_size,
          "images in a training step: show how much memory it needs, and the largest batch that fits")
      ->check(CLI::Range(1, 4096));
  command
      ->add_option("--memory", flags->memory,
                   "memory for the largest batch, such as 8GB or 8GiB (default: what is free on this "
                   "machine, or on its GPU)")
      ->transform(CLI::AsSizeValue(true));
  command->add_option("--device", config.device, "cpu or cuda")->check(CLI::IsMember({"cpu", "cuda"}));
  command->add_option("--precision", config.precision, "float32 or bfloat16 (default: bfloat16 on cuda)")
      ->check(CLI::IsMember({"auto", "float32", "bfloat16"}));
  command->add_option("--optimizer", config.optimizer, "adamw or sgd")
      ->check(CLI::IsMember({"adamw", "sgd"}));
  command->add_flag("--recompute", flags->recompute, "as for `fovea train --recompute true`");
  command
      ->add_option("--multi-scale", config.multi_scale,
                   "as for `fovea train`: predicts the step with the largest input")
      ->check(CLI::Range(0.0, 0.5));
  command->add_option("--accumulate", config.accumulate, "batches per step, as for `fovea train`")
      ->check(CLI::Range(1, 4096));
  command->callback([flags] {
    if (flags->config.model == "ops") return print_ops();
    if (!flags->config.model.empty()) return run_info(*flags);
    fmt::print("detectors:   {}\nclassifiers: {}\nJPEGs are decoded by {}\n",
               fmt::join(efficientdet_names(), " "), fmt::join(efficientnet_names(), " "), jpeg_decoder());
  });
}

}  // namespace fovea
