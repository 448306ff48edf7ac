#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "cli/commands.h"
#include "core/error.h"
#include "models/efficientdet.h"
#include "nn/trace.h"
#include "train/config.h"
#include "train/detector.h"

namespace fovea {
namespace {

struct InfoFlags {
  std::string model, image_size = "0", fpn = "default", fusion = "default";
  int64_t classes = 0;
  bool summary = false;
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
  fmt::print("multiply-adds      {:>14}  ({:.3f} G an image; the papers' \"FLOPs\")\n", multiply_adds,
             double(multiply_adds) / 1e9);
  fmt::print("layers' outputs    {:>14}  bytes an image in float32 ({:.1f} MB)\n", bytes,
             double(bytes) / 1e6);
}

void run_info(const InfoFlags& flags) {
  Random random(1);
  NoGrad no_grad;
  const auto size = parse_image_size(flags.image_size);
  const auto input = [&](int own) {
    const int64_t height = size[0] > 0 ? size[0] : own, width = size[1] > 0 ? size[1] : own;
    fmt::print("{}, {}x{} px\n", flags.model, height, width);
    return zeros({1, height, width, 3});
  };
  if (flags.model.starts_with("efficientnet")) {
    require(flags.fpn == "default" && flags.fusion == "default",
            "{} is no detector: leave out --fpn and --fusion", flags.model);
    const EfficientNetSpec spec = efficientnet_spec(flags.model);
    EfficientNet model(spec, flags.classes > 0 ? flags.classes : 1000, random);
    model.set_training(false);
    Trace trace;
    model.forward(input(spec.image_size), random);
    print_trace(trace, model, !flags.summary);
    return;
  }
  TrainConfig config;  // what a training with these flags would make
  config.model = flags.model;
  config.image_size = flags.image_size;
  config.fpn = flags.fpn;
  config.fusion = flags.fusion;
  const EfficientDetSpec spec = detector_spec(config);
  EfficientDet model(spec, flags.classes > 0 ? flags.classes : 90, random);
  model.set_training(false);
  Trace trace;
  const DetectorOutput output = model.forward(input(spec.image_size), random);
  print_trace(trace, model, !flags.summary);
  fmt::print("anchors            {:>14}  (scale {}, {} a cell, levels {} to {})\n",
             output.class_logits.size(1), spec.anchors.anchor_scale, spec.anchors.per_cell(),
             spec.fpn.min_level, spec.fpn.max_level);
}

struct OpRow {
  const char *stem, *ops, *kernels, *dtypes;
  int tests;
};
constexpr OpRow op_table[] = {
#include "op_table.inc"
};

// One paragraph a stem: `ops/<stem>.h` says what its ops compute, `cuda/kernels/<stem>.cu` how.
void print_ops() {
  for (const OpRow& row : op_table) {
    const std::string ops = *row.ops ? row.ops : "(called by training and detection themselves)";
    fmt::print("{}\n  ops      {}\n  kernels  {}\n  dtypes   {} (cpu: float32 float64)\n  tests    {}\n",
               row.stem, ops, *row.kernels ? row.kernels : "none", *row.dtypes ? row.dtypes : "none",
               row.tests);
  }
}

}  // namespace

void add_info_command(CLI::App& program) {
  auto flags = std::make_shared<InfoFlags>();
  CLI::App* command =
      program.add_subcommand("info", "Show what a model is made of; list the models, or the ops");
  command->add_option(
      "model", flags->model,
      "name of a model, or `ops` for every op with its kernels and tests; without one the models are "
      "listed");
  command->add_option("--image-size", flags->image_size,
                      "256, or height x width as 240x320 (default: the model's own)");
  command->add_option("--fpn", flags->fpn, "connections of a detector's levels, as for `fovea train`")
      ->check(CLI::IsMember({"default", "bifpn", "top_down", "top_down_bottom_up", "fully_connected"}));
  command->add_option("--fusion", flags->fusion, "of the inputs of a BiFPN node, as for `fovea train`")
      ->check(CLI::IsMember({"default", "fast_normalized", "softmax", "sum"}));
  command->add_option("--classes", flags->classes,
                      "classes it tells apart (default: 1000, detectors 90, as published)");
  command->add_flag("--summary", flags->summary, "only the sums, not every layer");
  command->callback([flags] {
    if (flags->model == "ops") return print_ops();
    if (!flags->model.empty()) return run_info(*flags);
    fmt::print("detectors:   {}\nclassifiers: {}\n", fmt::join(efficientdet_names(), " "),
               fmt::join(efficientnet_names(), " "));
  });
}

}  // namespace fovea
