#include <CLI/CLI.hpp>
#include <map>
#include <memory>

#include "cli/commands.h"
#include "cli/data.h"
#include "core/error.h"
#include "train/data/convert.h"

namespace fovea {

void add_data_convert(CLI::App& data) {
  struct Flags {
    std::string folder, output;
    ConvertOptions options;
  };
  static const std::map<std::string, DatasetFormat> formats{
      {"coco", DatasetFormat::coco}, {"voc", DatasetFormat::voc}, {"yolo", DatasetFormat::yolo}};
  auto flags = std::make_shared<Flags>();
  CLI::App* command =
      data.add_subcommand("convert", "Convert a data set to another format, with all its splits");
  command->add_option("folder", flags->folder, "folder of the data set: Pascal VOC, COCO or YOLO layout")
      ->required();
  command->add_option("output", flags->output, "output folder, which must be new or empty")->required();
  command->add_option("--to", flags->options.to, "output format: coco, voc or yolo")
      ->required()
      ->transform(CLI::CheckedTransformer(formats).description("coco, voc or yolo"));
  command->add_flag(
      "--link", flags->options.link,
      "link the images instead of copying them (hard links, or symbolic ones across file systems)");
  command->callback([flags] {
    const Converted converted = convert_dataset(flags->folder, flags->output, flags->options);
    print_warnings(flags->folder, converted.warnings);
    fmt::print("wrote {} images with {} boxes to {}: {}, splits {}\n", converted.images, converted.boxes,
               flags->output, name_of(flags->options.to), fmt::join(converted.splits, ", "));
  });
}

}  // namespace fovea
