#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <numeric>

#include "cli/commands.h"
#include "cli/progress.h"
#include "core/error.h"
#include "core/file.h"
#include "nn/io/json.h"
#include "train/data/image/image_io.h"
#include "train/report/draw.h"
#include "train/run/task_kind.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

struct PredictFlags {
  std::string weights, images, model, class_names, output = "predictions", device = "cpu";
  double threshold = 0.3;
  bool soft_nms = false;
};

// The images of a folder by their endings, sorted; or the one file.
std::vector<std::string> image_files(const std::string& path) {
  if (!fs::is_directory(path)) {
    require(fs::exists(path), "{} does not exist: give an image, or a folder of images", path);
    return {path};
  }
  std::vector<std::string> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(path))
    if (has_image_ending(entry.path().string())) files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  require(!files.empty(), "{} has no image: files ending in .jpg, .jpeg, .png or .bmp are looked for", path);
  return files;
}

// Calls f(image, file, id) for each image, ids from 1, and returns how many there were. One bad file among
// many is a warning; where it is the only file, it is an error.
int64_t for_each_image(const std::string& path,
                       const std::function<void(const Image&, const std::string&, int64_t)>& f) {
  const std::vector<std::string> files = image_files(path);
  ProgressLine line;
  int64_t id = 0, readable = 0;
  for (const std::string& file : files) {
    ++id;
    Image image;
    try {
      image = read_image(file);
    } catch (const Error& error) {
      if (files.size() == 1) throw;
      line.message(fmt::format("warning: {}: left out", error.what()));
      continue;
    }
    ++readable;
    f(image, file, id);
    line.show(double(id) / double(files.size()), fmt::format("{}/{} images", id, files.size()));
  }
  require(readable > 0, "none of the {} files in {} could be read", files.size(), path);
  line.finish();
  return readable;
}

void predict(Detector& detector, const ModelFile& model, const PredictFlags& flags) {
  DetectOptions options;
  options.soft_nms = flags.soft_nms;
  nlohmann::ordered_json results = nlohmann::json::array();
  int64_t found = 0;
  const int64_t count =
      for_each_image(flags.images, [&](const Image& image, const std::string& file, int64_t id) {
        const auto detections = detector.detect(image, options);
        for (const Detection& detection : detections) {
          const Box& b = detection.box;
          found += detection.score >= flags.threshold;
          results.push_back({{"image_id", id},
                             {"file_name", fs::path(file).filename().string()},
                             {"category_id", model.state().category_ids[size_t(detection.label)]},
                             {"category", detector.class_names()[size_t(detection.label)]},
                             {"bbox", {b.xmin, b.ymin, b.width(), b.height()}},
                             {"score", detection.score}});
        }
        write_image(fmt::format("{}/{}.jpg", flags.output, fs::path(file).stem().string()),
                    draw_detections(image, detections, detector.class_names(), flags.threshold));
      });
  write_file_atomically(flags.output + "/detections.json", dump_json(results, 1) + "\n");
  fmt::print("{} objects of score {} and more in {} images; annotated images and detections.json are in {}\n",
             found, flags.threshold, count, flags.output);
}

void predict(Classifier& classifier, const ModelFile&, const PredictFlags& flags) {
  constexpr size_t shown = 5;
  const std::vector<std::string>& names = classifier.class_names();
  nlohmann::ordered_json results = nlohmann::json::array();
  for_each_image(flags.images, [&](const Image& image, const std::string& file, int64_t) {
    const std::vector<double> probabilities = classifier.classify(image);
    std::vector<size_t> order(probabilities.size());
    std::iota(order.begin(), order.end(), size_t(0));
    const size_t best = std::min(shown, order.size());
    std::partial_sort(order.begin(), order.begin() + long(best), order.end(),
                      [&](size_t a, size_t b) { return probabilities[a] > probabilities[b]; });
    const std::string name = fs::path(file).filename().string();
    nlohmann::ordered_json classes = nlohmann::json::array();
    fmt::print("{}:", name);
    for (size_t i = 0; i < best; ++i) {
      fmt::print("{} {} {:.3f}", i ? "," : "", names[order[i]], probabilities[order[i]]);
      classes.push_back(
          {{"class", order[i]}, {"name", names[order[i]]}, {"probability", probabilities[order[i]]}});
    }
    fmt::print("\n");
    results.push_back({{"file_name", name}, {"classes", classes}});
  });
  write_file_atomically(flags.output + "/classes.json", dump_json(results, 1) + "\n");
  fmt::print("classes.json is in {}\n", flags.output);
}

void run_predict(const PredictFlags& flags) {
  const ModelFile model(flags.weights, {flags.model, flags.class_names});
  create_folder(flags.output);
  TrainedModel trained = load_model(model, parse_device(flags.device));
  std::visit([&](auto& network) { predict(network, model, flags); }, trained);
}

}  // namespace

void add_predict_command(CLI::App& program) {
  auto flags = std::make_shared<PredictFlags>();
  CLI::App* command = program.add_subcommand("predict", "Find objects in images, or name whole images");
  command->footer(
      "\nExamples:\n"
      "  fovea predict runs/1/best.safetensors photos --output found\n"
      "  fovea predict model.safetensors photos --model tf_efficientdet_d0     (effdet's weights)");
  command
      ->add_option("weights", flags->weights,
                   "what `fovea train` wrote: runs/1/best.safetensors; or a safetensors file of timm's or "
                   "effdet's weights")
      ->required();
  command->add_option("images", flags->images, "an image, or a folder of images")->required();
  command->add_option("--model", flags->model,
                      "of published weights: like tf_efficientdet_d0 (default: the one in the file's name)");
  command->add_option("--class-names", flags->class_names,
                      "of published weights: a text file, one name a line (default: COCO's or ImageNet's)");
  command->add_option("--output", flags->output, "folder for the annotated images and detections.json")
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
