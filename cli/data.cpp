#include <CLI/CLI.hpp>
#include <memory>

#include "cli/commands.h"
#include "cli/data.h"
#include "core/error.h"
#include "train/data/synth/synth.h"

namespace fovea {
namespace {

void add_synth(CLI::App& data) {
  auto options = std::make_shared<SynthOptions>();
  auto folder = std::make_shared<std::string>();
  CLI::App* command = data.add_subcommand("synth", "Draw a data set of textured shapes in COCO format");
  command->add_option("folder", *folder, "output folder, which must be new or empty")->required();
  command->add_option("--train", options->train_images, "training images")->capture_default_str();
  command->add_option("--val", options->val_images, "validation images")->capture_default_str();
  command->add_option("--width", options->width, "image width in pixels")->capture_default_str();
  command->add_option("--height", options->height, "image height in pixels")->capture_default_str();
  command->add_option("--classes", options->classes, "number of classes (kinds of shapes), 3 to 6")
      ->capture_default_str();
  command->add_option("--seed", options->seed, "the same seed draws the same images")->capture_default_str();
  command->callback([=] {
    synthesize_dataset(*folder, *options);
    fmt::print("wrote {} training images and {} validation images to {}\n", options->train_images,
               options->val_images, *folder);
  });
}

}  // namespace

void add_data_command(CLI::App& program) {
  CLI::App* data = program.add_subcommand("data", "Make, check and convert data sets");
  data->require_subcommand(1);
  add_synth(*data);
  add_data_check(*data);
  add_data_convert(*data);
}

}  // namespace fovea
