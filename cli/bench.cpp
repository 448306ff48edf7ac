#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <optional>

#include "cli/commands.h"
#include "cli/launch_table.h"
#include "core/error.h"
#include "core/parallel.h"
#include "cuda/runtime/device.h"
#include "cuda/runtime/memory.h"
#include "train/diagnose/step_timing.h"
#include "train/diagnose/timing.h"
#include "train/loop/model_file.h"

namespace fovea {
namespace {

struct BenchFlags {
  StepOptions step;
  std::string device = "cpu", precision = "auto", fusion = "default", only, image_size = "0";
  std::string gpu, launches;
  int repeats = 8;
  bool profile = false, score = false, json = false;
};

double resident_peak_mb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return double(usage.ru_maxrss) / 1e3;
}

double tensors_peak_mb(Device device) {
  return double(device == Device::cuda ? cuda::device_memory_use().peak : memory_use().peak) / 1e6;
}

// Phases by the names that --only takes.
std::vector<double> measure(StepTiming& timing, const std::string& phase, int repeats) {
  if (phase == "training") return timing.training(repeats);
  return phase == "forward" ? timing.forward(repeats) : timing.detection(repeats);
}

void print_json(StepTiming& timing, const std::string& phase, int repeats) {
  const std::vector<double> times = measure(timing, phase, repeats);
  fmt::print(
      "{{\"parameters\": {}, \"threads\": {}, \"seconds\": [{}], \"resident_peak_mb\": {:.1f}, "
      "\"tensors_peak_mb\": {:.1f}}}\n",
      timing.parameter_count(), num_threads(), fmt::join(times, ", "), resident_peak_mb(),
      tensors_peak_mb(timing.options().device));
}

// What an op of the CPU took, slowest first.
void print_ops(std::vector<OpTime> ops, int64_t batch) {
  const auto total_of = [](const OpTime& op) { return op.forward + op.backward; };
  std::sort(ops.begin(), ops.end(),
            [&](const OpTime& a, const OpTime& b) { return total_of(a) > total_of(b); });
  double total = 0;
  for (const OpTime& op : ops) total += total_of(op);
  fmt::print("\n{:<28} {:>6} {:>14} {:>14} {:>7}\n", "one step, ms/image", "calls", "forward", "backward",
             "share");
  const double each = 1e3 / double(batch);
  for (const OpTime& op : ops)
    fmt::print("{:<28} {:>6} {:>14.3f} {:>14.3f} {:>6.1f}%\n", op.op, op.calls, op.forward * each,
               op.backward * each, 100 * total_of(op) / total);
  fmt::print("{:<28} {:>6} {:>29.3f}\n", "all", "", total * each);
}

// The GPU that launches are predicted for: the one named; where the device is simulated, an H200.
std::optional<cuda::Gpu> predicted_gpu(const std::string& name) {
  if (name.empty()) return cuda::is_simulated() ? std::optional(cuda::find_gpu("H200")) : std::nullopt;
  return cuda::find_gpu(name);
}

void run_bench(BenchFlags flags) {
  StepOptions& step = flags.step;
  step.device = parse_device(flags.device);
  const bool half =
      flags.precision == "bfloat16" || (flags.precision == "auto" && step.device == Device::cuda);
  step.precision = half ? DType::bfloat16 : DType::float32;
  step.fusion = flags.fusion;
  step.image_size = parse_image_size(flags.image_size);
  const bool profiles_cuda = flags.profile && step.device == Device::cuda;
  require(profiles_cuda || (flags.gpu.empty() && flags.launches.empty()),
          "--gpu and --launches need --profile and --device cuda: they are about the launches of a step");
  const std::optional<cuda::Gpu> gpu = predicted_gpu(flags.gpu);
  // Launches that are recorded and not run touch no memory: only addresses are handed out.
  if (profiles_cuda && cuda::is_simulated()) setenv("FOVEA_SIM_MEMORY_MB", "61440", 0);
  StepTiming timing(step);
  step = timing.options();
  const bool quantized = timing.is_quantized();
  require(
      !quantized || (!flags.profile && flags.only != "training"),
      "a quantised network has no training step: leave out --profile, and take --only forward or detection");
  if (flags.json) {
    require(!flags.only.empty(), "--json needs --only, so that the process's memory is of one thing alone");
    return print_json(timing, flags.only, flags.repeats);
  }
  fmt::print(
      "{}, {} x {} px, {} classes, {}, {}: medians of {}\n", step.model, step.batch,
      step.image_size[0] == step.image_size[1] ? fmt::format("{}", step.image_size[0])
                                               : fmt::format("{}x{}", step.image_size[0], step.image_size[1]),
      step.classes,
      step.device == Device::cpu ? fmt::format("{} threads", num_threads()) : cuda::device_properties().name,
      quantized ? "int8" : name(step.precision), flags.repeats);
  if (step.device == Device::cuda && cuda::is_simulated())
    fmt::print("the device is simulated: its times would say nothing{}\n",
               flags.profile ? ", and are not taken" : "");
  if (flags.score) {
    require(flags.only != "detection", "--score is of a training step, or with --only forward of that");
    const bool forward = flags.only == "forward";
    return print_scores(forward ? "one forward pass" : "one step",
                        forward ? timing.forward_scores() : timing.training_scores());
  }
  const bool detector = task_of_model(step.model) == "detection";
  const bool only_profile = flags.profile && step.device == Device::cuda && cuda::is_simulated();
  for (const std::string phase : {"training", "forward", "detection"}) {
    if (only_profile) break;
    if ((!flags.only.empty() && phase != flags.only) ||
        (flags.only.empty() && (phase == "training" ? quantized : phase == "detection" && !detector)))
      continue;
    if (step.device == Device::cuda) cuda::reset_device_peak();
    const double seconds = median_of(measure(timing, phase, flags.repeats));
    fmt::print("{:<14} {:>10.3f} ms/image {:>11.1f} images/s {:>9.0f} MB tensors at most, so far\n",
               phase == "training" ? "training step" : phase, seconds * 1e3 / double(step.batch),
               double(step.batch) / seconds, tensors_peak_mb(step.device));
  }
  fmt::print("{:<14} {:>10.0f} MB of the process at most\n", "memory", resident_peak_mb());
  if (!flags.profile) return;
  if (step.device == Device::cuda) {
    const bool steps = flags.only != "detection";
    const auto launches = steps ? timing.training_launches() : timing.detection_launches();
    if (!flags.launches.empty())
      write_launches(flags.launches, launches, gpu.value_or(cuda::find_gpu("H200")));
    print_launches(steps ? "one step" : "one detection", launches, gpu);
    if (flags.only.empty() && detector) print_launches("one detection", timing.detection_launches(), gpu);
  } else {
    print_ops(timing.training_ops(), step.batch);
  }
}

}  // namespace

void add_bench_command(CLI::App& program) {
  auto flags = std::make_shared<BenchFlags>();
  CLI::App* command = program.add_subcommand(
      "bench", "Time a model's training step, forward pass and detection, on random images");
  command->add_option("model", flags->step.model,
                      "as `fovea info` lists them (default: efficientnet_b0); or a file of `fovea train` or "
                      "`fovea quantize`: "
                      "its network at its image size, the latter only forward and detection");
  command->add_option("--batch-size,--batch", flags->step.batch, "images in a step (default: 8)");
  command->add_option(
      "--image-size", flags->image_size,
      "of the images in pixels: 256, or height x width as 240x320 (default: the model's own)");
  command->add_option("--classes", flags->step.classes, "(default: 1000, detectors 90)");
  command->add_option("--fusion", flags->fusion, "of the inputs of a BiFPN node (default: the model's own)")
      ->check(CLI::IsMember({"default", "fast_normalized", "softmax", "sum"}));
  command->add_option("--device", flags->device, "cpu or cuda");
  command->add_option("--precision", flags->precision, "float32 or bfloat16 (default: bfloat16 on cuda)")
      ->check(CLI::IsMember({"auto", "float32", "bfloat16"}));
  command->add_flag("--recompute", flags->step.recompute,
                    "training steps keep the blocks' inputs alone, and compute the rest again");
  command->add_option("--repeats", flags->repeats, "timed steps (default: 8)")->check(CLI::Range(1, 100000));
  command->add_option("--only", flags->only, "measure only this")
      ->check(CLI::IsMember({"training", "forward", "detection"}));
  command->add_flag(
      "--profile", flags->profile,
      "also a table of what a training step spends its time on: ops on the CPU, kernels on cuda; there "
      "another of a detection, and only that with --only detection");
  command->add_option(
      "--gpu", flags->gpu,
      "with --profile: also predict each launch's time on H200, H100, A100, L4, RTX4090 or T4 "
      "(default: H200 where the device is simulated)");
  command->add_option(
      "--launches", flags->launches,
      "with --profile: also write each launch of the first table, its shape and its times to this CSV file");
  command->add_flag(
      "--score", flags->score,
      "in place of times, on a simulated cuda: how often each kernel reads its bytes, its sectors a request "
      "and "
      "its bank conflicts; the step runs thread by thread, so choose a small --batch and --image-size");
  command->add_flag("--json", flags->json, "with --only: each repeat's seconds, for another program to read");
  command->callback([flags] { run_bench(*flags); });
}

}  // namespace fovea
