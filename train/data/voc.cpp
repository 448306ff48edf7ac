#include "train/data/voc.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <pugixml.hpp>
#include <set>
#include <string_view>

#include "core/error.h"
#include "core/file.h"
#include "core/utf8.h"
#include "train/data/files/find_file.h"
#include "train/data/files/listing.h"
#include "train/data/files/text_file.h"
#include "train/data/image_sizes.h"

namespace fovea {
namespace {

// The text without blanks around it.
std::string_view trim(std::string_view text) {
  constexpr const char* blanks = " \t\r\n";
  const size_t begin = text.find_first_not_of(blanks);
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) + 1 - begin);
}

// The XML file of one image.
class VocFile {
 public:
  explicit VocFile(const std::string& path) : path_(path) {
    const std::string content = read_file(path);
    const pugi::xml_parse_result result = document_.load_buffer(content.data(), content.size());
    if (!result)
      fail("{} is not valid XML: line {}: {}", path,
           1 + std::count(content.begin(), content.begin() + result.offset, '\n'), result.description());
    if (result.encoding == pugi::encoding_utf8) not_utf8_ = utf8_fault(path, content);
    require(bool(root()), "{} has no element <annotation>: an annotation of Pascal VOC was expected", path);
  }

  const std::string& path() const { return path_; }
  const std::optional<std::string>& not_utf8() const { return not_utf8_; }  // the fault, if there is one
  pugi::xml_node root() const { return document_.child("annotation"); }

  std::string class_name(pugi::xml_node object) const {
    const std::string name = escape_bytes(trim(object.child("name").child_value()));
    if (name.empty()) fail("{}: {} has no <name>", path_, place(object));
    return name;
  }

  // The number in a field of a node, NaN and infinity included.
  double number(pugi::xml_node node, const char* field, const std::string& where) const {
    if (!node.child(field)) fail("{}: {} has no <{}>", path_, where, field);
    const std::string_view text = trim(node.child(field).child_value());
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size())
      fail("{}: <{}> of {} is \"{}\": a number was expected", path_, field, where, text);
    return value;
  }

  // "object 3 (cat)", counted from 1.
  std::string place(pugi::xml_node object) const {
    const auto objects = root().children("object");
    const auto before = std::distance(objects.begin(), std::find(objects.begin(), objects.end(), object));
    return fmt::format("object {} ({})", before + 1, trim(object.child("name").child_value()));
  }

 private:
  std::string path_;
  pugi::xml_document document_;
  std::optional<std::string> not_utf8_;
};

std::vector<std::string> all_class_names(const std::vector<std::string>& xml_folders, ReadLog* log) {
  std::set<std::string> names;
  for (const std::string& folder : xml_folders)
    for (const std::string& name : file_names(folder, ".xml"))
      attempt(log, [&] {
        const VocFile file(folder + "/" + name);
        for (const pugi::xml_node object : file.root().children("object"))
          attempt(log, [&] { names.insert(file.class_name(object)); });
      });
  require(!names.empty(), "{}: no file holds an <object>: there is nothing to detect",
          fmt::join(xml_folders, ", "));
  return {names.begin(), names.end()};
}

class Reader {
 public:
  Reader(const std::vector<std::string>& xml_folders, const std::vector<std::string>& class_names,
         ReadLog* log)
      : log_(log) {
    dataset_.class_names = class_names.empty() ? all_class_names(xml_folders, log) : class_names;
    for (size_t label = 0; label < dataset_.class_names.size(); ++label)
      dataset_.category_ids.push_back(int(label) + 1);
  }

  void read_split(const VocSplit& split) {
    const std::string& source = split.list.empty() ? split.xml_folder : split.list;
    dataset_.name += (dataset_.name.empty() ? "" : " + ") + source;
    place_ = fmt::format("its XML file in {} and its pixels in {}", split.xml_folder,
                         fmt::join(split.image_folders, ", "));
    std::vector<std::string> stems =
        split.list.empty() ? file_names(split.xml_folder, ".xml") : read_lines(split.list);
    for (std::string& stem : stems)
      stem = split.list.empty() ? stem.substr(0, stem.size() - 4) : stem_in(stem, split);
    for (const std::string& stem : stems) {
      if (stem.empty()) continue;
      if (files_.insert(split.xml_folder + "/" + stem).second)
        attempt(log_, [&] { read_image(stem, split, source); });
      else
        warn(ProblemKind::listed_twice, "{} names {} again: it is used once", source, stem);
    }
  }

  DetectionDataset take() {
    require(!files_.empty(), "{} names no image: a data set needs one, a file stem on each line",
            dataset_.name);
    require(!dataset_.images.empty(), "none of the {} images that {} names has both {}", files_.size(),
            dataset_.name, place_);
    warn_of(ProblemKind::missing_size, missing_sizes_, dataset_.warnings, log_);
    return std::move(dataset_);
  }

 private:
  template <class... Args>
  void warn(ProblemKind kind, fmt::format_string<Args...> format, Args&&... args) {
    dataset_.warnings.push_back(fmt::format(format, std::forward<Args>(args)...));
    if (log_) log_->faults.push_back({kind, dataset_.warnings.back()});
  }

  // A line is a stem, or as other tools write it the path of the image, of the XML file, or of both.
  static std::string stem_in(const std::string& line, const VocSplit& split) {
    const std::string first = line.substr(0, line.find_first_of(" \t")),
                      last = line.substr(line.find_last_of(" \t") + 1);
    for (const std::string& stem : {line, stem_of_path(line), stem_of_path(first), stem_of_path(last)})
      if (is_file(fmt::format("{}/{}.xml", split.xml_folder, stem))) return stem;
    return line;
  }

  void read_image(const std::string& stem, const VocSplit& split, const std::string& source) {
    const std::string path = fmt::format("{}/{}.xml", split.xml_folder, stem);
    if (!path_exists(path)) {
      warn(ProblemKind::missing_annotation, "{} names {}, but there is no file {}: the image is left out",
           source, stem, path);
      return;
    }
    const VocFile file(path);
    const std::string file_name(trim(file.root().child("filename").child_value()));
    const std::optional<std::string> image_file = find_image(stem, file_name, split.image_folders);
    if (file.not_utf8()) warn(ProblemKind::not_utf8, "{}", *file.not_utf8());
    if (!image_file) {
      warn(ProblemKind::missing_image,
           "{}: {} has neither an image {} nor the <filename> \"{}\": the annotation is left out", path,
           fmt::join(split.image_folders, ", "), stem, file_name);
      return;
    }
    LabelledImage image{.file = *image_file, .id = int64_t(dataset_.images.size()) + 1};
    read_size(file, image);
    note_unused_fields(file);
    for (const pugi::xml_node object : file.root().children("object"))
      attempt(log_, [&] { read_object(file, object, image); });
    dataset_.images.push_back(std::move(image));
  }

  // The stem comes first: the development kit uses it, and labelling tools leave an old <filename> behind
  // when a file is renamed.
  static std::optional<std::string> find_image(const std::string& stem, const std::string& file_name,
                                               const std::vector<std::string>& folders) {
    for (const std::string& folder : folders)
      for (std::string ending : image_endings) {
        const std::string base = folder + "/" + stem;
        if (is_file(base + ending)) return base + ending;
        std::transform(ending.begin(), ending.end(), ending.begin(),
                       [](unsigned char c) { return std::toupper(c); });
        if (is_file(base + ending)) return base + ending;
      }
    const auto found = find_path(folders, file_name, is_file);
    return found ? std::optional(found->path) : std::nullopt;
  }

  // <path> is where the image was on the machine on which it was labelled.
  void note_unused_fields(const VocFile& file) {
    const std::string path(trim(file.root().child("path").child_value()));
    if (log_ && !path.empty() && !path_exists(path))
      log_->faults.push_back(
          {ProblemKind::ignored_field,
           fmt::format("{}: <path> is \"{}\", which does not exist: it is ignored", file.path(), path)});
  }

  // Some labelling tools write no size, or 0: then the size is read from the image itself.
  void read_size(const VocFile& file, LabelledImage& image) {
    const pugi::xml_node size = file.root().child("size");
    const auto side = [&](const char* field) {
      return trim(size.child(field).child_value()).empty() ? 0 : file.number(size, field, "<size>");
    };
    const double width = side("width"), height = side("height");
    constexpr double longest_side = 1 << 24;
    if (width >= 1 && height >= 1 && width <= longest_side && height <= longest_side) {
      image.width = int(width);
      image.height = int(height);
      return;
    }
    take_own_size(image);
    missing_sizes_.push_back(fmt::format("{}: <size> is {} x {}: the size of {}, {} x {}, is used",
                                         file.path(), width, height, image.file, image.width, image.height));
  }

  void read_object(const VocFile& file, pugi::xml_node object, LabelledImage& image) {
    const std::string name = file.class_name(object), where = file.place(object);
    const auto label = std::find(dataset_.class_names.begin(), dataset_.class_names.end(), name);
    if (label == dataset_.class_names.end())
      fail_as(ProblemKind::unknown_class, "{}: {} is of a class that the model does not have: it has {}",
              file.path(), where, some_of(dataset_.class_names));
    const pugi::xml_node box = object.child("bndbox");
    if (!box) fail("{}: {} has no <bndbox>", file.path(), where);
    const double xmin = file.number(box, "xmin", where), ymin = file.number(box, "ymin", where);
    const double xmax = file.number(box, "xmax", where), ymax = file.number(box, "ymax", where);
    if (log_) log_->boxes.push_back({{xmin, ymin, xmax, ymax}, image.width, image.height});
    const auto warn_of_box = [&](ProblemKind kind, const char* fault) {
      warn(kind, "{}: {} has xmin {}, ymin {}, xmax {}, ymax {}, {}", file.path(), where, xmin, ymin, xmax,
           ymax, fault);
    };
    if (!std::isfinite(xmin + ymin + xmax + ymax) || !(xmax > xmin && ymax > ymin))
      return warn_of_box(xmax < xmin || ymax < ymin ? ProblemKind::reversed_box : ProblemKind::empty_box,
                         "which is not a positive finite size: the box is left out");

    double left = std::max(xmin, 0.0), right = std::min(xmax, double(image.width));
    double top = std::max(ymin, 0.0), bottom = std::min(ymax, double(image.height));
    if ((right != xmax || bottom != ymax) &&
        !has_own_size(image))  // settle_sizes() decides which of them is wrong
      left = xmin, right = xmax, top = ymin, bottom = ymax;
    if (!(right > left && bottom > top))
      return warn_of_box(ProblemKind::outside_box, "which is outside its image: the box is left out");
    if (left != xmin || right != xmax || top != ymin || bottom != ymax)
      warn_of_box(ProblemKind::outside_box,
                  "which reaches outside its image: the box is cut off at the border");
    image.annotations.push_back({.x = left,
                                 .y = top,
                                 .width = right - left,
                                 .height = bottom - top,
                                 .area = (right - left) * (bottom - top),
                                 .label = int(label - dataset_.class_names.begin()),
                                 .difficult = trim(object.child("difficult").child_value()) == "1"});
  }

  ReadLog* log_;
  DetectionDataset dataset_;
  std::string place_;
  std::set<std::string> files_;
  std::vector<std::string> missing_sizes_;
};

}  // namespace

DetectionDataset read_voc(const VocLayout& layout, const std::vector<VocSplit>& splits,
                          const std::vector<std::string>& class_names, ReadLog* log) {
  Reader reader(layout.xml_folders, class_names, log);
  for (const VocSplit& split : splits) reader.read_split(split);
  return reader.take();
}

DetectionDataset read_voc(const std::string& folder, const std::vector<std::string>& list_files,
                          const std::vector<std::string>& class_names, ReadLog* log) {
  const std::string xml_folder = folder + "/Annotations";
  std::vector<VocSplit> splits;
  for (const std::string& list : list_files) splits.push_back({xml_folder, {folder + "/JPEGImages"}, list});
  return read_voc(VocLayout{{xml_folder}, {}}, splits, class_names, log);
}

}  // namespace fovea
