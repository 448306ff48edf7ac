#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/progress.h"
#include "core/error.h"
#include "core/file.h"
#include "train/data/image_io.h"
#include "train/detector.h"
#include "train/report/draw.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

struct PredictFlags {
  std::string checkpoint, images, output = "predictions", device = "cpu";
  double threshold = 0.3;
  bool soft_nms = false;
};

// The pictures of a folder by their endings, sorted; or the one file.
std::vector<std::string> pictures(const std::string& path) {
  if (!fs::is_directory(path)) {
    require(fs::exists(path), "{} does not exist: give a picture, or a folder of pictures", path);
    return {path};
  }
  std::vector<std::string> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(path))
    if (has_image_ending(entry.path().string())) files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  require(!files.empty(), "{} has no picture: files ending in .jpg, .jpeg, .png or .bmp are looked for",
          path);
  return files;
}

void run_predict(const PredictFlags& flags) {
  const Checkpoint checkpoint(flags.checkpoint);
  Detector detector(checkpoint, parse_device(flags.device));
  const std::vector<std::string> files = pictures(flags.images);
  create_folder(flags.output);
  DetectOptions options;
  options.soft_nms = flags.soft_nms;
  ProgressLine line;
  nlohmann::ordered_json results = nlohmann::json::array();
  int64_t id = 0, found = 0, unreadable = 0;
  for (const std::string& file : files) {
    ++id;
    Image image;
    try {
      image = read_image(file);
    } catch (const Error& error) {  // one bad file among many is a warning, a bad file alone is an error
      if (files.size() == 1) throw;
      line.message(fmt::format("warning: {}: left out", error.what()));
      ++unreadable;
      continue;
    }
    const auto detections = detector.detect(image, options);
    for (const Detection& detection : detections) {
      const Box& b = detection.box;
      found += detection.score >= flags.threshold;
      results.push_back({{"image_id", id},
                         {"file_name", fs::path(file).filename().string()},
                         {"category_id", checkpoint.state().category_ids[size_t(detection.label)]},
                         {"category", detector.class_names()[size_t(detection.label)]},
                         {"bbox", {b.xmin, b.ymin, b.width(), b.height()}},
                         {"score", detection.score}});
    }
    write_image(fmt::format("{}/{}.jpg", flags.output, fs::path(file).stem().string()),
                draw_detections(image, detections, detector.class_names(), flags.threshold));
    line.show(double(id) / double(files.size()), fmt::format("{}/{} pictures", id, files.size()));
  }
  require(unreadable < int64_t(files.size()), "none of the {} files in {} could be read", files.size(),
          flags.images);
  write_file_atomically(flags.output + "/detections.json", results.dump(1) + "\n");
  line.finish();
  fmt::print("{} objects of score {} and more in {} pictures; pictures and detections.json are in {}\n",
             found, flags.threshold, int64_t(files.size()) - unreadable, flags.output);
}

}  // namespace

void add_predict_command(CLI::App& program) {
  auto flags = std::make_shared<PredictFlags>();
  CLI::App* command = program.add_subcommand("predict", "Find objects in pictures");
  command->footer("\nExample:\n  fovea predict runs/1/best.safetensors photos --output found");
  command->add_option("checkpoint", flags->checkpoint, "what `fovea train` wrote: runs/1/best.safetensors")
      ->required();
  command->add_option("images", flags->images, "a picture, or a folder of pictures")->required();
  command->add_option("--output", flags->output, "folder for the annotated pictures and detections.json")
      ->capture_default_str();
  command->add_option("--device", flags->device, "cpu or cuda")->capture_default_str();
  command->add_option("--threshold", flags->threshold, "smallest score that is drawn")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command->add_flag("--soft-nms", flags->soft_nms,
                    "lower the scores of overlapping boxes instead of dropping them");
  command->callback([flags] { run_predict(*flags); });
}

}  // namespace fovea
