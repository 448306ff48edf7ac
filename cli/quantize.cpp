#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

#include "cli/commands.h"
#include "core/error.h"
#include "core/file.h"
#include "core/parallel.h"
#include "train/data/held_out.h"
#include "train/detection/evaluate_detector.h"
#include "train/detection/quantize_detector.h"
#include "train/diagnose/step_timing.h"
#include "train/diagnose/timing.h"

namespace fovea {
namespace {

struct QuantizeFlags {
  std::string weights, data, calibration_split = "train", split = "val", output;
  int64_t images = 64, repeats = 40;
};

void run_quantize(QuantizeFlags flags) {
  if (std::filesystem::is_directory(flags.weights)) flags.weights += "/best.safetensors";
  if (flags.output.empty())
    flags.output = std::filesystem::path(flags.weights).replace_extension(".int8.safetensors").string();
  protect_files(std::vector{flags.weights});
  require_unprotected(flags.output);
  const ModelFile file(flags.weights);
  TrainConfig config = file.state().config;
  if (!flags.data.empty()) config.data = flags.data;
  require(!config.data.empty(), "published weights do not name a data set: give --data");
  Detector detector(file);
  const auto open = [&](const std::string& split) {
    DetectionDataset dataset =
        open_or_draw(config.data, split, uint64_t(config.seed), detector.class_names());
    print_warnings(dataset.name, dataset.warnings);
    return dataset;
  };
  const DetectionDataset calibration = open(flags.calibration_split), measured = open(flags.split);
  protect_files(files_of(calibration));
  protect_files(files_of(measured));
  require_unprotected(flags.output);
  const auto network =
      std::make_shared<const QuantizedNetwork>(quantize_detector(detector, calibration, flags.images));
  save_quantized(flags.output, file.state(), *network);
  fmt::print("{}: calibrated on {} of {} images ({})\n", flags.output,
             std::min(flags.images, int64_t(calibration.images.size())), calibration.images.size(),
             flags.calibration_split);

  // In turns, so that what else the machine does slows both down alike.
  const NoGrad no_grad;
  const Tensor image = zeros({1, detector.height(), detector.width(), 3});
  std::vector<double> in_float, in_bytes;
  for (int64_t i = 0; i < flags.repeats; ++i) {
    detector.use(nullptr);
    in_float.push_back(times_of(Device::cpu, 1, [&] { detector.outputs(image); })[0]);
    detector.use(network);
    in_bytes.push_back(times_of(Device::cpu, 1, [&] { detector.outputs(image); })[0]);
  }
  CocoFigures before, after;
  evaluate_detector(detector, measured, config, {}, &after);
  detector.use(nullptr);
  evaluate_detector(detector, measured, config, {}, &before);
  const double float_time = median_of(in_float), byte_time = median_of(in_bytes);
  fmt::print("{:<10} {:>8} {:>8} {:>14} {:>12}\n", "", "AP", "AP50", "forward pass", "file");
  const auto row = [](const char* what, const CocoFigures& figures, double seconds, const std::string& path) {
    fmt::print("{:<10} {:>8.4f} {:>8.4f} {:>11.2f} ms {:>9.2f} MB\n", what, figures.ap, figures.ap50,
               seconds * 1e3, double(std::filesystem::file_size(path)) / 1e6);
  };
  row("float32", before, float_time, flags.weights);
  row("int8", after, byte_time, flags.output);
  fmt::print("AP {:+.4f}; {:.2f} times as fast ({} threads, 1 image of {} x {}, medians of {})\n",
             after.ap - before.ap, float_time / byte_time, num_threads(), detector.height(), detector.width(),
             flags.repeats);
}

}  // namespace

void add_quantize_command(CLI::App& program) {
  auto flags = std::make_shared<QuantizeFlags>();
  CLI::App* command = program.add_subcommand("quantize", "Quantise a trained detector to int8 for the CPU");
  command->footer(
      "\n`fovea predict`, `fovea eval`, `fovea bench` and `fovea export` take the file that it writes.\n"
      "\nExamples:\n"
      "  fovea quantize runs/1 --data DIR\n"
      "  fovea eval runs/1/best.int8.safetensors --split test");
  command
      ->add_option("weights", flags->weights,
                   "a checkpoint of `fovea train`: runs/1/best.safetensors, or the folder runs/1")
      ->required();
  command->add_option("--data", flags->data, "folder of the data set (default: the one it was trained on)");
  command->add_option("--images", flags->images, "images that calibrate the ranges of the activations")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  command->add_option("--calibration-split", flags->calibration_split, "split of these images")
      ->capture_default_str();
  command->add_option("--split", flags->split, "split to evaluate on")->capture_default_str();
  command->add_option("--output", flags->output,
                      "file to write (default: weights.int8.safetensors beside weights)");
  command->add_option("--repeats", flags->repeats, "timed forward passes")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  command->callback([flags] { run_quantize(*flags); });
}

}  // namespace fovea
