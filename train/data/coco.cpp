#include "train/data/coco.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>

#include "core/error.h"
#include "core/file.h"
#include "core/utf8.h"
#include "nn/io/json.h"
#include "train/data/files/find_file.h"
#include "train/data/files/text_file.h"
#include "train/data/image_sizes.h"

namespace fovea {
namespace {

using nlohmann::json;

// For each field, a sentence about the first number in quotes or with a needless decimal point.
using LooseNumbers = std::map<std::string, std::string>;

// One entry of a list in the file, and its location for messages.
class Entry {
 public:
  Entry(const std::string& file, const char* list, size_t index, const json& value, LooseNumbers& loose)
      : file_(file), list_(list), index_(index), value_(value), loose_(loose) {
    if (!value.is_object()) fail("{} is {}: an object was expected", place(), show(value));
  }

  std::string place() const { return fmt::format("{}: {}[{}]", file_, list_, index_); }
  bool has(const char* name) const { return value_.contains(name); }

  int64_t integer(const char* name, int64_t low = std::numeric_limits<int64_t>::min(),
                  int64_t high = std::numeric_limits<int64_t>::max()) const {
    const json value = plain(name, field(name));
    const bool fits = value.is_number_unsigned() ? value.get<uint64_t>() <= uint64_t(high)
                                                 : value.is_number_integer() && value.get<int64_t>() <= high;
    if (!fits || value.get<int64_t>() < low)
      wrong(name, fmt::format("a whole number from {} to {}", low, high));
    return value.get<int64_t>();
  }
  double number(const char* name) const {
    const json value = real(name, field(name));
    if (!value.is_number()) wrong(name, "a number");
    return value.get<double>();
  }
  std::string text(const char* name) const {
    const json& value = field(name);
    if (!value.is_string() || value.get_ref<const std::string&>().empty()) wrong(name, "a text");
    return value.get<std::string>();
  }
  bool flag(const char* name) const {
    const json& value = field(name);
    return value.is_boolean() ? value.get<bool>() : integer(name, 0, 1) == 1;
  }
  std::array<double, 4> four_numbers(const char* name) const {
    const json& value = field(name);
    std::array<double, 4> numbers{};
    bool good = value.is_array() && value.size() == 4;
    for (size_t i = 0; i < 4 && good; ++i) {
      const json number = real(name, value[i]);
      good = number.is_number();
      if (good) numbers[i] = number.get<double>();
    }
    if (!good) wrong(name, "four numbers, left, top, width and height,");
    return numbers;
  }

 private:
  const json& field(const char* name) const {
    const auto found = value_.find(name);
    if (found == value_.end()) fail("{} has no field \"{}\"", place(), name);
    return *found;
  }
  json real(const char* name, const json& value) const {
    return value.is_number() ? value : plain(name, value);
  }
  json plain(const char* name, const json& value) const {
    if (value.is_number_integer()) return value;
    json number = plain_number(value);
    if (number.is_number() && (value.is_string() || number.is_number_integer()))
      loose_.emplace(fmt::format("{}.{}", list_, name), fmt::format("{}.{} is {}: it is read as {}", place(),
                                                                    name, show(field(name)), show(number)));
    return number;
  }
  [[noreturn]] void wrong(const char* name, const std::string& expected) const {
    fail("{}.{} is {}: {} was expected", place(), name, show(field(name)), expected);
  }
  static std::string show(const json& value) {
    const std::string text = value.dump();
    return text.size() <= 60 ? text : text.substr(0, 60) + "...";
  }

  const std::string& file_;
  const char* list_;
  size_t index_;
  const json& value_;
  LooseNumbers& loose_;
};

// Calls visit(Entry) for each entry of the list `name`.
template <class Visit>
void for_each_entry(const std::string& file, const json& root, const char* name, ReadLog* log,
                    LooseNumbers& loose, Visit visit) {
  require(root.is_object() && root.contains(name) && root[name].is_array(),
          "{} has no list \"{}\": a COCO annotation file has images, annotations and categories", file, name);
  const json& list = root[name];
  for (size_t i = 0; i < list.size(); ++i) attempt(log, [&] { visit(Entry(file, name, i, list[i], loose)); });
}

class Reader {
 public:
  Reader(const std::string& file, const std::vector<std::string>& image_folders, const CocoOptions& options)
      : file_(file), image_folders_(image_folders), options_(options) {
    dataset_.name = file;
  }

  DetectionDataset read(const std::vector<std::string>& class_names) {
    const json root = parse();
    read_categories(root);
    if (class_names.empty())
      take_classes_of_the_file();
    else
      take_classes_of_the_model(class_names);
    read_images(root);
    for_each_entry(file_, root, "annotations", options_.log, loose_,
                   [&](const Entry& entry) { read_annotation(entry); });
    std::vector<std::string> loose;
    for (const auto& [field, sentence] : loose_) loose.push_back(sentence);
    warn_of(ProblemKind::loose_number, loose, dataset_.warnings, options_.log);
    warn_of(ProblemKind::missing_size, missing_sizes_, dataset_.warnings, options_.log);
    return std::move(dataset_);
  }

 private:
  json parse() {
    const std::string content = read_text(file_);
    const auto fault = utf8_fault(file_, content);
    if (fault) warn(ProblemKind::not_utf8, *fault);
    return parse_json(fault ? escape_bytes(content, "\\\\x") : content, file_,
                      "valid JSON");  // a backslash of JSON
  }

  void warn(ProblemKind kind, const std::string& text) {
    dataset_.warnings.push_back(text);
    if (options_.log) options_.log->faults.push_back({kind, text});
  }

  void read_categories(const json& root) {
    for_each_entry(file_, root, "categories", options_.log, loose_, [&](const Entry& entry) {
      const int id =
          int(entry.integer("id", std::numeric_limits<int>::min(), std::numeric_limits<int>::max() - 1));
      const std::string name = entry.text("name");
      for (const auto& [other_id, other_name] : categories_)
        require(id != other_id && name != other_name,
                "{} is {} \"{}\", but there is already {} \"{}\": give every category an id and a name of "
                "its own",
                entry.place(), id, name, other_id, other_name);
      categories_[id] = name;
    });
    require(!categories_.empty(), "{}: the list \"categories\" is empty: there is nothing to detect", file_);
  }

  void take_classes_of_the_file() {
    for (const auto& [id, name] : categories_) {
      labels_[id] = int(dataset_.class_names.size());
      dataset_.category_ids.push_back(id);
      dataset_.class_names.push_back(name);
    }
  }

  void take_classes_of_the_model(const std::vector<std::string>& class_names) {
    dataset_.class_names = class_names;
    int next_id = categories_.rbegin()->first;
    for (size_t label = 0; label < class_names.size(); ++label) {
      const auto found = std::find_if(categories_.begin(), categories_.end(), [&](const auto& category) {
        return category.second == class_names[label];
      });
      dataset_.category_ids.push_back(found != categories_.end() ? found->first : ++next_id);
      if (found != categories_.end()) labels_[found->first] = int(label);
    }
  }

  void read_images(const json& root) {
    for_each_entry(file_, root, "images", options_.log, loose_, [&](const Entry& entry) {
      const int64_t id = entry.integer("id");
      const std::string name =
          options_.require_images || entry.has("file_name") ? entry.text("file_name") : "";
      const int64_t width = side(entry, "width"), height = side(entry, "height");
      const std::optional<FoundPath> found = find_image(name);
      const bool used = found && !files_.insert(found->path).second && found->shortened;
      const bool left_out = !found || used;
      const auto [position, is_new] =
          positions_.emplace(id, left_out ? nowhere : int64_t(dataset_.images.size()));
      if (!is_new)
        fail("{}.id is {}, which an earlier image already has: give every image its own id", entry.place(),
             id);
      if (left_out)
        return warn(ProblemKind::missing_image,
                    fmt::format("{}.file_name is \"{}\", which is not in {}{}: the image is left out",
                                entry.place(), name, fmt::join(image_folders_, ", "),
                                used ? fmt::format(", and {} belongs to another image", found->path) : ""));
      dataset_.images.push_back({found->path, id, int(width), int(height), {}});
      if (width == 0 || height == 0) complete_size(entry, dataset_.images.back());
    });
    require(!root["images"].empty(), "{}: the list \"images\" is empty: a data set needs an image", file_);
    require(!positions_.empty(), "{}: no entry of the list \"images\" can be used", file_);
    require(!dataset_.images.empty(), "none of the {} images that {} names is in {}", positions_.size(),
            file_, fmt::join(image_folders_, ", "));
  }

  // 0 if the file does not give it: exporters that do not know the size write nothing, 0 or -1.
  static int64_t side(const Entry& entry, const char* name) {
    constexpr int64_t longest_side = 1 << 24;
    return entry.has(name) ? std::max<int64_t>(entry.integer(name, -1, longest_side), 0) : 0;
  }

  void complete_size(const Entry& entry, LabelledImage& image) {
    if (!options_.require_images) return;
    take_own_size(image);
    missing_sizes_.push_back(fmt::format("{} has no size: that of {}, {} x {}, is used", entry.place(),
                                         image.file, image.width, image.height));
  }

  std::optional<FoundPath> find_image(const std::string& name) const {
    const auto found = find_path(image_folders_, name, is_file);
    return found || options_.require_images ? found : FoundPath{name};
  }

  void read_annotation(const Entry& entry) {
    const int64_t image_id = entry.integer("image_id");
    const int label = label_of(entry);
    const auto box = entry.four_numbers("bbox");
    Annotation annotation{.x = box[0], .y = box[1], .width = box[2], .height = box[3], .label = label};
    annotation.area = entry.has("area") ? entry.number("area") : annotation.width * annotation.height;
    annotation.crowd = entry.has("iscrowd") && entry.flag("iscrowd");

    const auto position = positions_.find(image_id);
    if (position == positions_.end()) {
      warn(ProblemKind::missing_image,
           fmt::format("{}.image_id is {}, but no image has this id: the box is left out", entry.place(),
                       image_id));
      return;
    }
    if (position->second == nowhere) return;  // the warning about the image also covers its boxes
    LabelledImage& image = dataset_.images[size_t(position->second)];
    if (options_.log) options_.log->boxes.push_back({box, image.width, image.height});
    if (!is_finite(annotation, entry)) return;
    if (annotation.has_area()) warn_if_outside(annotation, image, entry);
    image.annotations.push_back(annotation);
  }

  int label_of(const Entry& entry) const {
    const int64_t id = entry.integer("category_id");
    const auto category = categories_.find(id);
    if (category == categories_.end())
      fail_as(ProblemKind::unknown_class, "{}.category_id is {}, which is not among \"categories\"",
              entry.place(), id);
    const auto label = labels_.find(id);
    if (label == labels_.end())
      fail_as(ProblemKind::unknown_class,
              "{} is of the class \"{}\", which the model does not have: it has {}", entry.place(),
              category->second, some_of(dataset_.class_names));
    return label->second;
  }

  // pycocotools also counts a box without an area, which no detection can find.
  bool is_finite(const Annotation& a, const Entry& entry) {
    const bool finite =
        std::isfinite(a.width * a.height) && std::isfinite(a.x + a.width) && std::isfinite(a.y + a.height);
    if (!finite || !a.has_area())
      warn(a.width < 0 || a.height < 0 ? ProblemKind::reversed_box : ProblemKind::empty_box,
           fmt::format("{}.bbox is [{}, {}, {}, {}], whose width and height are not both greater than 0 and "
                       "finite: {}",
                       entry.place(), a.x, a.y, a.width, a.height,
                       finite ? "training ignores it, and evaluation counts it as an object"
                              : "the box is left out"));
    return finite;
  }

  // Boxes in the official files reach outside by up to a pixel, from rounding.
  void warn_if_outside(const Annotation& a, const LabelledImage& image, const Entry& entry) {
    constexpr double rounding = 1;
    if (image.width == 0 || image.height == 0) return;  // ground truth without images, of unknown size
    if (a.x >= -rounding && a.y >= -rounding && a.x + a.width <= image.width + rounding &&
        a.y + a.height <= image.height + rounding)
      return;
    warn(ProblemKind::outside_box,
         fmt::format("{}.bbox is [{}, {}, {}, {}], which is not within its image of {} x {} pixels: training "
                     "cuts it off there, evaluation uses it as it is",
                     entry.place(), a.x, a.y, a.width, a.height, image.width, image.height));
  }

  static constexpr int64_t nowhere = -1;

  const std::string& file_;
  const std::vector<std::string>& image_folders_;
  const CocoOptions& options_;
  DetectionDataset dataset_;
  std::map<int64_t, std::string> categories_;       // name by id
  std::map<int64_t, int> labels_;                   // by category id, of the requested classes
  std::unordered_map<int64_t, int64_t> positions_;  // in dataset_.images by image id, or nowhere
  std::set<std::string> files_;
  std::vector<std::string> missing_sizes_;
  LooseNumbers loose_;
};

}  // namespace

DetectionDataset read_coco(const std::string& annotation_file, const std::vector<std::string>& image_folders,
                           const std::vector<std::string>& class_names, const CocoOptions& options) {
  require(!options.require_images || !image_folders.empty(), "no folder was given with the images of {}",
          annotation_file);
  return Reader(annotation_file, image_folders, options).read(class_names);
}

void write_coco(const std::string& annotation_file, const DetectionDataset& dataset,
                const std::string& image_folder) {
  using nlohmann::ordered_json;
  ordered_json images = json::array(), annotations = json::array(), categories = json::array();
  for (size_t label = 0; label < dataset.class_names.size(); ++label)
    categories.push_back({{"id", dataset.category_ids[label]}, {"name", dataset.class_names[label]}});
  for (const LabelledImage& image : dataset.images) {
    const std::filesystem::path path(image.file);
    const std::string name =
        image_folder.empty() ? image.file : path.lexically_relative(image_folder).string();
    images.push_back(
        {{"id", image.id}, {"file_name", name}, {"width", image.width}, {"height", image.height}});
    for (const Annotation& a : image.annotations)
      annotations.push_back({{"id", annotations.size() + 1},
                             {"image_id", image.id},
                             {"category_id", dataset.category_ids[size_t(a.label)]},
                             {"bbox", {a.x, a.y, a.width, a.height}},
                             {"area", a.area},
                             {"iscrowd", int(a.crowd)}});
  }
  const ordered_json root{{"images", images}, {"annotations", annotations}, {"categories", categories}};
  write_file_atomically(annotation_file, dump_json(root) + "\n");
}

}  // namespace fovea
