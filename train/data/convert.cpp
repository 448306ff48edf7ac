#include "train/data/convert.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <pugixml.hpp>
#include <set>
#include <sstream>

#include "core/error.h"
#include "core/file.h"
#include "core/utf8.h"
#include "nn/io/json.h"
#include "train/data/coco.h"
#include "train/data/splits.h"
#include "train/data/yolo.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

// One image, the split whose folder it goes to, and its name there.
struct Placed {
  const LabelledImage* image;
  std::string split, stem, name;
};

// Counts of what the format cannot hold.
struct Losses {
  int64_t crowds = 0, empty = 0, difficult = 0, areas = 0, rounded = 0;
};

class Converter {
 public:
  Converter(const DatasetSplits& data, const std::string& folder, const ConvertOptions& options)
      : data_(data), folder_(folder), options_(options) {}

  Converted write() {
    place_images();
    for (const Placed& placed : images_) put_image(placed);
    if (options_.to == DatasetFormat::coco) write_as_coco();
    if (options_.to == DatasetFormat::voc) write_as_voc();
    if (options_.to == DatasetFormat::yolo) write_as_yolo();
    result_.images = int64_t(images_.size());
    for (const DatasetSplit& split : data_.splits) {
      result_.splits.push_back(split.name);
      for (const std::string& warning : split.dataset.warnings)  // joined splits repeat those of their parts
        if (std::find(result_.warnings.begin(), result_.warnings.end(), warning) == result_.warnings.end())
          result_.warnings.push_back(warning);
    }
    warn_of(ProblemKind::unlisted_image, data_.unlisted, result_.warnings, nullptr);
    warn_of_losses();
    return result_;
  }

 private:
  // An image goes to the smallest split that has it: with train, val and trainval, to one of the first two.
  void place_images() {
    std::vector<const DatasetSplit*> splits;
    for (const DatasetSplit& split : data_.splits) splits.push_back(&split);
    std::stable_sort(splits.begin(), splits.end(), [](const DatasetSplit* a, const DatasetSplit* b) {
      return a->dataset.images.size() < b->dataset.images.size();
    });
    std::set<std::string> taken;  // stems, which annotations are named after
    for (const DatasetSplit* split : splits)
      for (const LabelledImage& image : split->dataset.images) {
        if (positions_.contains(image.file)) continue;
        const fs::path path(image.file);
        std::string stem = escape_bytes(path.stem().string());
        std::replace(stem.begin(), stem.end(), ' ', '_');  // the first blank ends a name in VOC's lists
        std::string free = stem;
        for (int i = 1; !taken.insert(free).second; ++i)
          free = fmt::format("{}_{}{}", split->name, stem, i > 1 ? fmt::format("_{}", i) : "");
        positions_[image.file] = images_.size();
        images_.push_back({&image, split->name, free, free + escape_bytes(path.extension().string())});
      }
  }

  const Placed& placed(const LabelledImage& image) const { return images_[positions_.at(image.file)]; }

  std::string image_folder(const std::string& split) const {
    if (options_.to == DatasetFormat::voc) return "JPEGImages";
    return options_.to == DatasetFormat::yolo ? "images/" + split : "images";
  }

  void put_image(const Placed& placed) {
    const std::string to = folder_ + "/" + image_folder(placed.split);
    create_folder(to);
    const fs::path from = fs::canonical(placed.image->file), file = fs::path(to) / placed.name;
    std::error_code error;
    if (!options_.link) {
      fs::copy_file(from, file, error);
    } else {
      fs::create_hard_link(from, file, error);
      if (error) fs::create_symlink(from, file, error);
    }
    require(!error, "{} cannot be copied to {}: {}", placed.image->file, file.string(), error.message());
  }

  void write_file(const std::string& name, const std::string& content) const {
    create_folder(fs::path(folder_ + "/" + name).parent_path().string());
    write_file_atomically(folder_ + "/" + name, content);
  }

  void write_as_coco() {
    for (const Placed& placed : images_)
      for (const Annotation& a : placed.image->annotations) ++result_.boxes, losses_.difficult += a.difficult;
    create_folder(folder_ + "/annotations");
    for (const DatasetSplit& split : data_.splits) {
      DetectionDataset dataset = split.dataset;
      for (LabelledImage& image : dataset.images) image.file = placed(image).name;
      write_coco(fmt::format("{}/annotations/instances_{}.json", folder_, split.name), dataset);
    }
  }

  // Counts what VOC and YOLO cannot express. Returns false if the box is left out.
  bool keep(const Annotation& a) {
    losses_.crowds += a.crowd;
    losses_.areas +=
        !a.crowd && a.has_area() && std::abs(a.area - a.width * a.height) > 1e-6 * a.width * a.height;
    losses_.empty += !a.crowd && !a.has_area();
    result_.boxes += !a.crowd && a.has_area();
    return !a.crowd && a.has_area();
  }

  void write_as_voc() {
    for (const Placed& placed : images_)
      write_file("Annotations/" + placed.stem + ".xml", voc_annotation(placed));
    for (const DatasetSplit& split : data_.splits) {
      std::string list;
      for (const LabelledImage& image : split.dataset.images) list += placed(image).stem + "\n";
      write_file("ImageSets/Main/" + split.name + ".txt", list);
    }
  }

  std::string voc_annotation(const Placed& placed) {
    const LabelledImage& image = *placed.image;
    pugi::xml_document document;
    pugi::xml_node root = document.append_child("annotation");
    const auto add = [](pugi::xml_node node, const char* name, const auto& value) {
      node.append_child(name).text().set(value);
    };
    add(root, "folder", "JPEGImages");
    add(root, "filename", placed.name.c_str());
    pugi::xml_node size = root.append_child("size");
    add(size, "width", image.width), add(size, "height", image.height), add(size, "depth", 3);
    for (const Annotation& a : image.annotations) {
      if (!keep(a)) continue;
      pugi::xml_node object = root.append_child("object");
      add(object, "name", data_.class_names[size_t(a.label)].c_str());
      add(object, "difficult", int(a.difficult));
      pugi::xml_node box = object.append_child("bndbox");
      // Within the image and at least a pixel wide.
      const auto edges = [&](double low, double extent, int limit) {
        const long first = std::clamp(std::lround(low), 0L, long(limit) - 1);
        const long last = std::clamp(std::lround(low + extent), first + 1, long(limit));
        constexpr double noise = 1e-3;  // of numbers that YOLO had in shares
        losses_.rounded +=
            std::abs(double(first) - low) > noise || std::abs(double(last) - low - extent) > noise;
        return std::pair(first, last);
      };
      const auto [xmin, xmax] = edges(a.x, a.width, image.width);
      const auto [ymin, ymax] = edges(a.y, a.height, image.height);
      add(box, "xmin", xmin), add(box, "ymin", ymin), add(box, "xmax", xmax), add(box, "ymax", ymax);
    }
    std::ostringstream text;
    document.save(text, "  ", pugi::format_indent | pugi::format_no_declaration);
    return text.str();
  }

  void write_as_yolo() {
    for (const Placed& placed : images_) {
      const LabelledImage& image = *placed.image;
      std::string lines;
      for (const Annotation& a : image.annotations)
        if (keep(a))
          lines += fmt::format("{} {:.8f} {:.8f} {:.8f} {:.8f}\n", a.label, (a.x + a.width / 2) / image.width,
                               (a.y + a.height / 2) / image.height, a.width / image.width,
                               a.height / image.height),
              losses_.difficult += a.difficult;
      write_file(fmt::format("labels/{}/{}.txt", placed.split, placed.stem), lines);
    }
    // A JSON string is also a YAML string (YAML 1.2, section 1.2), and needs no rules for words like "yes".
    const auto quoted = [](const std::string& text) { return dump_json(nlohmann::json(text)); };
    std::string yaml;
    for (const DatasetSplit& split : data_.splits)
      yaml += fmt::format("{}: {}\n", quoted(split.name), quoted(yolo_source(split)));
    yaml += "names:\n";
    for (size_t label = 0; label < data_.class_names.size(); ++label)
      yaml += fmt::format("  {}: {}\n", label, quoted(data_.class_names[label]));
    write_file("data.yaml", yaml);
  }

  // The split's folder, if it contains only the split's images and their order is that of their names, as in
  // a folder; otherwise a list of them.
  std::string yolo_source(const DatasetSplit& split) {
    const auto& images = split.dataset.images;
    const auto in_folder =
        std::count_if(images_.begin(), images_.end(), [&](const Placed& p) { return p.split == split.name; });
    bool as_folder = size_t(in_folder) == images.size();
    for (size_t i = 0; i < images.size() && as_folder; ++i)
      as_folder = placed(images[i]).split == split.name &&
                  (i == 0 || placed(images[i - 1]).name < placed(images[i]).name);
    if (as_folder) return "images/" + split.name;
    std::string list;
    for (const LabelledImage& image : images)
      list += fmt::format("./images/{}/{}\n", placed(image).split, placed(image).name);
    write_file(split.name + ".txt", list);
    return split.name + ".txt";
  }

  void warn_of_losses() {
    const auto warn = [&](int64_t count, const char* text) {
      if (count > 0) result_.warnings.push_back(fmt::format("{} {}", count, text));
    };
    const bool voc = options_.to == DatasetFormat::voc;
    warn(losses_.crowds, "crowd regions are left out: the format would turn them into ordinary objects");
    warn(losses_.empty, "boxes without an area are left out: readers of the format reject them");
    warn(losses_.difficult,
         "objects are marked as difficult, which the format cannot express: they become ordinary ones");
    warn(losses_.areas,
         "objects have an area that is not their box's, from an outline: the format has no field for it");
    warn(losses_.rounded, "pairs of edges are rounded to whole pixels, by half a pixel at most");
    if (!voc) return;
    std::set<int> used;
    for (const Placed& placed : images_)
      for (const Annotation& a : placed.image->annotations)
        if (!a.crowd) used.insert(a.label);
    warn(int64_t(data_.class_names.size() - used.size()),
         "classes have no object, and Pascal VOC names classes only with their objects: they are lost");
    if (!std::is_sorted(data_.class_names.begin(), data_.class_names.end()))
      result_.warnings.push_back("the classes change their order: Pascal VOC's are sorted by name");
  }

  const DatasetSplits& data_;
  const std::string folder_;
  const ConvertOptions& options_;
  std::vector<Placed> images_;
  std::map<std::string, size_t> positions_;  // in images_, by file
  Losses losses_;
  Converted result_;
};

// A new folder beside the final one, deleted with its contents unless it was renamed.
class ScratchFolder {
 public:
  explicit ScratchFolder(const std::string& target) {
    create_folder(fs::path(target).parent_path().string());
    std::error_code error;
    for (int i = 0; i < 1000; ++i) {  // an existing folder may be someone else's
      path_ = fmt::format("{}.part{}", target, i > 0 ? std::to_string(i) : "");
      if (fs::create_directory(path_, error)) return;
    }
    fail("cannot create {}: {}", path_, error ? error.message() : "it already exists; remove it");
  }
  const std::string& path() const { return path_; }
  ~ScratchFolder() {
    std::error_code error;
    fs::remove_all(path_, error);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

 private:
  std::string path_;
};

}  // namespace

Converted convert_dataset(const std::string& folder, const std::string& output,
                          const ConvertOptions& options) {
  require(options.to != DatasetFormat::none, "[data convert] no format to convert to was given");
  std::error_code error;
  std::string target = fs::absolute(output).lexically_normal().string();
  while (target.size() > 1 && target.ends_with('/')) target.pop_back();
  require(!fs::exists(target, error) || (fs::is_directory(target, error) && fs::is_empty(target, error)),
          "{} already exists: give a new or an empty folder", output);
  const DatasetSplits data = open_splits(folder);
  const ScratchFolder scratch(target);
  const Converted converted = Converter(data, scratch.path(), options).write();
  fs::rename(scratch.path(), target, error);
  require(!error, "cannot create {}: {}", output, error.message());
  return converted;
}

}  // namespace fovea
