#include <CLI/CLI.hpp>
#include <memory>

#include "cli/commands.h"
#include "core/error.h"
#include "train/data/dataset.h"
#include "train/data/synth.h"

namespace fovea {
namespace {

void add_synth(CLI::App& data) {
  auto options = std::make_shared<SynthOptions>();
  auto folder = std::make_shared<std::string>();
  CLI::App* command = data.add_subcommand("synth", "Draw a data set of textured shapes, in COCO's format");
  command->add_option("folder", *folder, "where to put it; new or empty")->required();
  command->add_option("--train", options->train_images, "pictures to learn from")->capture_default_str();
  command->add_option("--val", options->val_images, "pictures to measure on")->capture_default_str();
  command->add_option("--width", options->width, "of a picture, in pixels")->capture_default_str();
  command->add_option("--height", options->height, "of a picture, in pixels")->capture_default_str();
  command->add_option("--classes", options->classes, "kinds of shapes, 3 to 6")->capture_default_str();
  command->add_option("--seed", options->seed, "the same seed draws the same pictures")
      ->capture_default_str();
  command->callback([=] {
    synthesize_dataset(*folder, *options);
    fmt::print("{} pictures to learn from and {} to measure on are in {}\n", options->train_images,
               options->val_images, *folder);
  });
}

void add_show(CLI::App& data) {
  auto folder = std::make_shared<std::string>();
  CLI::App* command = data.add_subcommand("show", "Read a data set, count what is in it and name its faults");
  command->add_option("folder", *folder, "folder of the data set: Pascal VOC or COCO layout")->required();
  command->callback([=] {
    const auto splits = dataset_splits(*folder);
    require(!splits.empty(), "{} holds neither a Pascal VOC nor a COCO data set", *folder);
    for (const std::string& split : splits) {
      const DetectionDataset dataset = open_dataset(*folder, split);
      std::vector<int64_t> counts(dataset.class_names.size());
      int64_t without = 0;
      for (const LabelledImage& image : dataset.images) {
        without += image.annotations.empty();
        for (const Annotation& a : image.annotations) ++counts[size_t(a.label)];
      }
      fmt::print("{}: {} images, {} of them without an object\n", split, dataset.images.size(), without);
      for (size_t i = 0; i < counts.size(); ++i)
        fmt::print("  {:<20} {:>7}\n", dataset.class_names[i], counts[i]);
      for (const std::string& warning : dataset.warnings) fmt::print("  warning: {}\n", warning);
    }
  });
}

}  // namespace

void add_data_command(CLI::App& program) {
  CLI::App* data = program.add_subcommand("data", "Make and look at data sets");
  data->require_subcommand(1);
  add_synth(*data);
  add_show(*data);
}

}  // namespace fovea
