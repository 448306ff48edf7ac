#include "train/data/synth/synth.h"

#include <exception>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "core/parallel.h"
#include "core/random.h"
#include "train/data/image/image_io.h"
#include "train/data/synth/synth_scene.h"
#include "train/data/synth/synth_shapes.h"

namespace fovea {
namespace {

using nlohmann::json;

constexpr int jpeg_quality = 90;

// One half of the data set. Ids continue from one split to the next, so that both can be joined.
struct Split {
  std::string name;
  int first_id, images;
  uint64_t first_stream;  // of the random numbers: more training images do not change the validation images

  std::string annotations() const { return "annotations/instances_" + name + ".json"; }
  std::string file(int index) const { return fmt::format("{:06}.jpg", first_id + index); }
};

std::vector<Split> splits_of(const SynthOptions& options) {
  return {{"train", 1, options.train_images, 0},
          {"val", options.train_images + 1, options.val_images, uint64_t(1) << 32}};
}

void check(const std::string& folder, const SynthOptions& options) {
  require(!folder.empty(), "[data synth] the name of the folder is empty: give the folder to write to");
  const auto in_range = [](const char* field, int value, int low, int high) {
    require(low <= value && value <= high, "[data synth] {} is {}: give {} to {}", field, value, low, high);
  };
  in_range("train_images", options.train_images, 1, 1'000'000);
  in_range("val_images", options.val_images, 1, 1'000'000);
  in_range("width", options.width, 64, 4096);
  in_range("height", options.height, 64, 4096);
  in_range("classes", options.classes, 3, shape_kinds);
}

// Throws Error if there are other files, which would be mixed up with the data set's.
void check_folder(const std::string& folder, const std::vector<Split>& splits) {
  namespace fs = std::filesystem;
  std::set<std::string> ours;
  for (const Split& split : splits) {
    ours.insert(split.annotations());
    for (int i = 0; i < split.images; ++i) ours.insert(split.name + "/" + split.file(i));
  }
  std::error_code error;
  for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->is_directory(error)) continue;
    std::string file = entry->path().lexically_relative(folder).generic_string();
    if (file.ends_with(".part")) file.resize(file.size() - 5);  // begun by a run that was cut off
    require(ours.contains(file),
            "[data synth] the folder {} already holds {}, which is not part of this data set: give a new or "
            "an empty "
            "folder",
            folder, file);
  }
  require(!error || !fs::exists(folder), "[data synth] the folder {} cannot be read: {}", folder,
          error.message());
}

// Draws and writes all images of a split, and returns the objects of each.
std::vector<std::vector<Annotation>> draw_images(const std::string& folder, const Split& split,
                                                 const SynthOptions& options) {
  std::vector<std::vector<Annotation>> objects(size_t(split.images));
  std::vector<std::exception_ptr> errors(size_t(split.images));
  parallel_for(split.images, 1, [&](int64_t begin, int64_t end) {
    int64_t i = begin;
    try {
      for (; i < end; ++i) {
        Random random(options.seed, split.first_stream + uint64_t(i));
        DrawnScene scene = draw_scene(options.width, options.height, options.classes, random);
        const std::string path = fmt::format("{}/{}/{}", folder, split.name, split.file(int(i)));
        write_file_atomically(path, encode_jpeg(scene.image, jpeg_quality));
        objects[size_t(i)] = std::move(scene.objects);
      }
    } catch (...) {  // must not leave the thread it happened in
      errors[size_t(i)] = std::current_exception();
    }
  });
  for (const std::exception_ptr& error : errors)
    if (error) std::rethrow_exception(error);
  return objects;
}

// COCO's instances file (https://cocodataset.org/#format-data), without outlines.
json annotation_file(const Split& split, const SynthOptions& options,
                     const std::vector<std::vector<Annotation>>& objects, int64_t& next_id) {
  json categories = json::array(), images = json::array(), annotations = json::array();
  for (int label = 0; label < options.classes; ++label)
    categories.push_back(
        {{"id", label + 1}, {"name", shape_name(ShapeKind(label))}, {"supercategory", "shape"}});
  for (int i = 0; i < split.images; ++i) {
    const int image_id = split.first_id + i;
    images.push_back({{"id", image_id},
                      {"file_name", split.file(i)},
                      {"width", options.width},
                      {"height", options.height}});
    for (const Annotation& object : objects[size_t(i)])
      annotations.push_back({{"id", next_id++},
                             {"image_id", image_id},
                             {"category_id", object.label + 1},
                             {"bbox", {object.x, object.y, object.width, object.height}},
                             {"area", object.area},
                             {"iscrowd", 0}});
  }
  const std::string description = fmt::format("Shapes drawn by fovea data synth, seed {}", options.seed);
  return {{"info", {{"description", description}}},
          {"categories", categories},
          {"images", images},
          {"annotations", annotations}};
}

}  // namespace

void synthesize_dataset(const std::string& folder, const SynthOptions& options) {
  check(folder, options);
  const std::vector<Split> splits = splits_of(options);
  check_folder(folder, splits);
  create_folder(folder + "/annotations");
  int64_t next_annotation_id = 1;
  for (const Split& split : splits) {
    create_folder(folder + "/" + split.name);
    const auto objects = draw_images(folder, split, options);
    write_file_atomically(folder + "/" + split.annotations(),
                          annotation_file(split, options, objects, next_annotation_id).dump() + "\n");
  }
}

}  // namespace fovea
