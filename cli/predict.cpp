#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <numeric>
#include <set>

#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/video.h"
#include "core/error.h"
#include "core/file.h"
#include "nn/io/json.h"
#include "train/data/image/image_io.h"
#include "train/data/problem.h"
#include "train/report/draw.h"
#include "train/report/result_names.h"
#include "train/run/task_kind.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

struct PredictFlags {
  std::string weights, model, class_names, output, device = "cpu", camera;
  std::vector<std::string> images;  // files and folders, or one video
  double threshold = 0.3, frame_rate = 0;
  int max_detections = 0;
  bool soft_nms = false, recursive = false, augment = false;
  // Derived from the flags and the weights file.
  DetectOptions detect;
  std::vector<Flip> views{{}};

  bool is_video() const { return !camera.empty() || (images.size() == 1 && names_video(images[0])); }
  static bool names_video(const std::string& path) { return path == "-" || has_video_ending(path); }
};

// The images to read, their names relative to the folder that holds them all, and the entries that are left
// out.
struct ImageFiles {
  std::vector<std::string> files, names, others, folders;
};

fs::path full_path(const fs::path& path) { return fs::absolute(path).lexically_normal(); }

// The innermost folder that has all of the paths in it, or is the only one of them.
fs::path common_folder(const std::vector<std::string>& paths) {
  fs::path common = full_path(paths[0]);
  if (!fs::is_directory(common)) common = common.parent_path();
  for (const std::string& path : paths)
    while (*full_path(path).lexically_relative(common).begin() == "..") common = common.parent_path();
  return common;
}

void add_images(const fs::path& folder, const fs::path& root, const PredictFlags& flags, ImageFiles& found) {
  std::set<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(folder)) paths.insert(entry.path());
  std::error_code error;
  for (const fs::path& path : paths) {
    const std::string name = full_path(path).lexically_relative(root).string();
    if (path.filename().string().starts_with('.') || fs::equivalent(path, flags.output, error)) continue;
    if (fs::is_directory(path, error) && flags.recursive && !fs::is_symlink(path, error))
      add_images(path, root, flags, found);
    else if (fs::is_directory(path, error))
      found.folders.push_back(name);
    else if (!has_image_ending(name))
      found.others.push_back(name);
    else
      found.files.push_back(path.string()), found.names.push_back(name);
  }
}

// The files in the order given, and the images in each folder, chosen by extension and sorted. Results must
// not be written among them, where they could replace an image or be read as one later.
ImageFiles image_files(const PredictFlags& flags) {
  for (const std::string& path : flags.images)
    require(fs::exists(path), "{} does not exist: give images, folders of images or a video", path);
  const fs::path root = common_folder(flags.images);
  ImageFiles found;
  for (const std::string& path : flags.images) {
    if (!fs::is_directory(path)) {
      found.files.push_back(path);
      found.names.push_back(full_path(path).lexically_relative(root).string());
      continue;
    }
    const size_t before = found.files.size();
    found.others.clear();
    found.folders.clear();
    add_images(path, root, flags, found);
    const auto note = [&](const std::vector<std::string>& left, const char* what) {
      if (!left.empty())
        fmt::print(stderr, "note: {}: {} {}, such as {}\n", path, left.size(), what, left.front());
    };
    note(found.others, "files are left out because they have no image extension");
    note(found.folders, "folders are not searched without --recursive");
    require(found.files.size() > before, "{} has no images: expected files ending in {}", path,
            fmt::join(image_endings, ", "));
  }
  std::error_code error;
  for (const std::string& file : found.files) {
    const fs::path folder = fs::path(file).parent_path();
    require(!fs::equivalent(folder.empty() ? "." : folder, flags.output, error),
            "--output is {}, the folder of {}: results must not be among the images, choose another folder",
            flags.output, file);
  }
  protect_files(found.files);
  require_unprotected(flags.output);
  return found;
}

// Calls f(image, name, result, id) for each image and returns the number of images. `result` is the name of
// its output, and ids begin at 1. An unreadable file is a warning, or an error if it is the only file.
int64_t for_each_image(
    const PredictFlags& flags,
    const std::function<void(const Image&, const std::string&, const std::string&, int64_t)>& f) {
  const ImageFiles images = image_files(flags);
  create_folder(flags.output);
  const std::vector<std::string> results = result_names(images.names);
  const size_t count = images.files.size();
  ProgressLine line;
  int64_t readable = 0;
  for (size_t i = 0; i < count; ++i) {
    Image image;
    try {
      image = read_image(images.files[i]);
    } catch (const Error& error) {
      if (count == 1) throw;
      line.message(fmt::format("warning: {}: left out", error.what()));
      continue;
    }
    ++readable;
    f(image, images.names[i], results[i], int64_t(i) + 1);
    line.show(double(i + 1) / double(count), fmt::format("{}/{} images", i + 1, count));
  }
  require(readable > 0, "none of the {} files in {} could be read", count, some_of(flags.images));
  line.finish();
  return readable;
}

// Writes the list, and warns of older files in the folder.
void write_results(const PredictFlags& flags, const std::string& name, const nlohmann::ordered_json& results,
                   std::set<std::string> written) {
  write_file_atomically(flags.output + "/" + name, dump_json(results, 1) + "\n");
  written.insert(name);
  if (const std::string left = left_from_before(flags.output, written); !left.empty())
    fmt::print(stderr, "warning: {}\n", left);
}

nlohmann::ordered_json entry_of(const Detection& detection, const Detector& detector,
                                const ModelFile& model) {
  const Box& b = detection.box;
  return {{"category_id", model.state().category_ids[size_t(detection.label)]},
          {"category", detector.class_names()[size_t(detection.label)]},
          {"bbox", {b.xmin, b.ymin, b.width(), b.height()}},
          {"score", detection.score}};
}

void predict_images(Detector& detector, const ModelFile& model, const PredictFlags& flags) {
  nlohmann::ordered_json results = nlohmann::json::array();
  std::set<std::string> written;
  int64_t found = 0;
  const int64_t count = for_each_image(
      flags, [&](const Image& image, const std::string& file, const std::string& result, int64_t id) {
        const auto detections = detector.detect(image, flags.detect, flags.views);
        for (const Detection& detection : detections) {
          found += detection.score >= flags.threshold;
          results.push_back({{"image_id", id}, {"file_name", file}});
          results.back().update(entry_of(detection, detector, model));
        }
        const std::string drawn = result + ".jpg";
        create_folder(fs::path(flags.output + "/" + drawn).parent_path().string());
        write_image(flags.output + "/" + drawn,
                    draw_detections(image, detections, detector.class_names(), flags.threshold));
        written.insert(drawn);
      });
  write_results(flags, "detections.json", results, written);
  fmt::print(
      "{} objects with a score of at least {} in {} images; annotated images and detections.json are in {}\n",
      found, flags.threshold, count, flags.output);
}

// The most probable classes.
nlohmann::ordered_json best_classes(Classifier& classifier, const PredictFlags& flags, const Image& image) {
  constexpr size_t shown = 5;
  const std::vector<std::string>& names = classifier.class_names();
  const std::vector<double> probabilities = classifier.classify(image, flags.views);
  std::vector<size_t> order(probabilities.size());
  std::iota(order.begin(), order.end(), size_t(0));
  const size_t best = std::min(shown, order.size());
  std::partial_sort(order.begin(), order.begin() + long(best), order.end(),
                    [&](size_t a, size_t b) { return probabilities[a] > probabilities[b]; });
  nlohmann::ordered_json classes = nlohmann::json::array();
  for (size_t i = 0; i < best; ++i)
    classes.push_back(
        {{"class", order[i]}, {"name", names[order[i]]}, {"probability", probabilities[order[i]]}});
  return classes;
}

void predict_images(Classifier& classifier, const ModelFile&, const PredictFlags& flags) {
  nlohmann::ordered_json results = nlohmann::json::array();
  for_each_image(flags, [&](const Image& image, const std::string& file, const std::string&, int64_t) {
    const nlohmann::ordered_json classes = best_classes(classifier, flags, image);
    fmt::print("{}:", file);
    for (size_t i = 0; i < classes.size(); ++i)
      fmt::print("{} {} {:.3f}", i ? "," : "", classes[i]["name"].get<std::string>(),
                 classes[i]["probability"].get<double>());
    fmt::print("\n");
    results.push_back({{"file_name", file}, {"classes", classes}});
  });
  write_results(flags, "classes.json", results, {});
  fmt::print("classes.json is in {}\n", flags.output);
}

// The JSON entry for one frame. Also draws the results into the frame.
nlohmann::ordered_json look(Detector& detector, const ModelFile& model, const PredictFlags& flags,
                            Image& frame) {
  const auto detections = detector.detect(frame, flags.detect, flags.views);
  nlohmann::ordered_json found = nlohmann::json::array();
  for (const Detection& detection : detections)
    if (detection.score >= flags.threshold) found.push_back(entry_of(detection, detector, model));
  frame = draw_detections(frame, detections, detector.class_names(), flags.threshold);
  return {{"detections", found}};
}

nlohmann::ordered_json look(Classifier& classifier, const ModelFile&, const PredictFlags& flags,
                            Image& frame) {
  const nlohmann::ordered_json classes = best_classes(classifier, flags, frame);
  const std::string text = fmt::format("{} {:.2f}", classes[0]["name"].get<std::string>(),
                                       classes[0]["probability"].get<double>());
  const DrawnBox whole{0, 0, double(frame.width), double(frame.height), classes[0]["class"].get<int>(), text};
  frame = draw_boxes(frame, std::span(&whole, 1));
  return {{"classes", classes}};
}

template <class Network>
void predict_video(Network& network, const ModelFile& model, const PredictFlags& flags) {
  const VideoRequest request{.input = flags.camera.empty() ? flags.images[0] : flags.camera,
                             .camera = !flags.camera.empty(),
                             .output = flags.output,
                             .frame_rate = flags.frame_rate};
  const int64_t frames =
      for_each_frame(request, [&](Image& frame) { return look(network, model, flags, frame); });
  fmt::print(
      stderr, "{} frames{}\n", frames,
      flags.output.empty() ? "; add --output found.mp4 to draw the results" : " are in " + flags.output);
}

// Checks that the flags go together and that no output is also an input.
void check_flags(const PredictFlags& flags) {
  require(flags.images.empty() != flags.camera.empty(),
          "give images, folders of images, a video, - for a stream, or --camera");
  for (const std::string& path : flags.images)
    require(flags.images.size() == 1 || !PredictFlags::names_video(path),
            "{} is a video, and {} paths are given: give a video by itself", path, flags.images.size());
  require(flags.is_video() || flags.frame_rate == 0,
          "--frame-rate is for a stream or a camera: leave it out");
  require(flags.output.empty() || flags.is_video() == has_video_ending(flags.output),
          "--output is {}: give a video file such as found.mp4 for a video, and a folder for images",
          flags.output);
  require(
      flags.images != std::vector<std::string>{"-"} || ::isatty(STDIN_FILENO) == 0,
      "- reads a video from standard input, which is a terminal: pipe one in, as in `... | fovea predict`");
  protect_files(std::vector{flags.weights, flags.class_names});
  if (!flags.is_video()) return;
  for (const std::string& path : flags.images)
    require(path == "-" || fs::exists(path), "{} does not exist: give a video", path);
  protect_files(flags.images);
  if (!flags.output.empty()) require_unprotected(flags.output);
}

void run_predict(PredictFlags flags) {
  check_flags(flags);
  if (flags.output.empty() && !flags.is_video()) flags.output = "predictions";
  const ModelFile model(flags.weights, {flags.model, flags.class_names});
  if (flags.augment) flags.views = test_time_flips(model.state().config);
  flags.detect.soft_nms = flags.soft_nms;
  flags.detect.max_detections =
      flags.max_detections > 0 ? flags.max_detections : int(model.state().config.max_detections);
  TrainedModel trained = load_model(model, parse_device(flags.device));
  std::visit(
      [&](auto& network) {
        if (flags.is_video())
          predict_video(network, model, flags);
        else
          predict_images(network, model, flags);
      },
      trained);
}

}  // namespace

void add_predict_command(CLI::App& program) {
  auto flags = std::make_shared<PredictFlags>();
  CLI::App* command =
      program.add_subcommand("predict", "Find objects in images or videos, or classify whole images");
  command->footer(
      "\nExamples:\n"
      "  fovea predict runs/1/best.safetensors photos --output found\n"
      "  fovea predict runs/1/best.safetensors one.jpg two.jpg\n"
      "  fovea predict model.safetensors photos --model tf_efficientdet_d0     (effdet's weights)\n"
      "  fovea predict runs/1/best.safetensors clip.mp4 --output found.mp4 > found.jsonl\n"
      "  fovea predict runs/1/best.safetensors --camera");
  command
      ->add_option("weights", flags->weights,
                   "a checkpoint of `fovea train`, such as runs/1/best.safetensors, or a safetensors file of "
                   "timm's or effdet's weights")
      ->required();
  command->add_option("images", flags->images,
                      "images and folders of images; or a video, or - for a video on standard input: each "
                      "frame of a video is "
                      "a line of JSON on standard output");
  command->add_flag("--recursive", flags->recursive, "also search subfolders");
  command
      ->add_option("--camera", flags->camera,
                   "read a camera (default: /dev/video0) instead of images, until Ctrl-C")
      ->expected(0, 1)
      ->default_str("/dev/video0");
  command
      ->add_option("--frame-rate", flags->frame_rate,
                   "frames per second of a camera or stream (default: all as they come, written as 25)")
      ->check(CLI::Range(0.01, 1000.0));
  command->add_option("--model", flags->model,
                      "model of published weights, e.g. tf_efficientdet_d0 (default: from the file name)");
  command->add_option("--class-names", flags->class_names,
                      "class names for published weights: a text file with one name per line (default: "
                      "COCO's or ImageNet's)");
  command->add_option("--output", flags->output,
                      "folder for the annotated images and detections.json (default: predictions); for a "
                      "video, a file such as found.mp4 (default: none)");
  command->add_option("--device", flags->device, "cpu or cuda")->capture_default_str();
  command->add_option("--threshold", flags->threshold, "smallest score to draw")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command
      ->add_option("--max-detections", flags->max_detections,
                   "boxes per image (default: as in training, 100)")
      ->check(CLI::Range(1, 5000));
  command->add_flag("--soft-nms", flags->soft_nms,
                    "lower the scores of overlapping boxes instead of dropping them");
  command->add_flag("--augment", flags->augment, augment_help);
  command->callback([flags] { run_predict(*flags); });
}

}  // namespace fovea
