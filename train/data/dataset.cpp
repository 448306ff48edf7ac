#include "train/data/dataset.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "core/error.h"
#include "core/file.h"
#include "train/data/coco.h"
#include "train/data/image_sizes.h"
#include "train/data/listing.h"
#include "train/data/voc.h"
#include "train/data/yolo.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

bool is_voc(const std::string& folder) { return !file_names(folder + "/Annotations", ".xml").empty(); }
bool is_coco(const std::string& folder) { return !file_names(folder + "/annotations", ".json").empty(); }

std::string without_ending(const std::string& name) { return fs::path(name).stem().string(); }

std::string voc_list(const std::string& folder, const std::string& split) {
  return fmt::format("{}/ImageSets/Main/{}.txt", folder, split);
}

// VOC keeps beside the lists of images those of one class, cat_train.txt, whose lines are "<stem> 1" or -1 or
// 0. They are no splits.
bool is_class_list(const std::string& file) {
  const std::string content = read_file(file);
  const std::string line = content.substr(0, content.find_first_of("\r\n"));
  return line.ends_with(" 1") || line.ends_with(" -1") || line.ends_with(" 0");
}

std::vector<std::string> voc_splits(const std::string& folder) {
  std::vector<std::string> splits;
  for (const std::string& name : file_names(folder + "/ImageSets/Main", ".txt"))
    if (!is_class_list(voc_list(folder, without_ending(name)))) splits.push_back(without_ending(name));
  return splits;
}

// The official COCO sets have captions_*.json and others beside instances_*.json, which hold no boxes.
std::vector<std::string> coco_splits(const std::string& folder) {
  constexpr std::string_view prefix = "instances_";
  std::vector<std::string> splits, others;
  for (const std::string& name : file_names(folder + "/annotations", ".json")) {
    const std::string stem = without_ending(name);
    if (stem.starts_with(prefix))
      splits.push_back(stem.substr(prefix.size()));
    else
      others.push_back(stem);
  }
  return splits.empty() ? others : splits;
}

[[noreturn]] void fail_split(const std::string& folder, const std::string& split) {
  const auto splits = dataset_splits(folder);
  if (splits.empty())
    fail("{} has no split \"{}\", nor any other: {}", folder, split,
         is_voc(folder) ? "ImageSets/Main holds no list" : "its YAML file names none");
  fail("{} has no split \"{}\": it has {}", folder, split, fmt::join(splits, ", "));
}

// "train+val" to train and val.
std::vector<std::string> parts_of(const std::string& split) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= split.size();) {
    const size_t end = std::min(split.find('+', begin), split.size());
    parts.push_back(split.substr(begin, end - begin));
    begin = end + 1;
  }
  for (const std::string& part : parts)
    require(!part.empty() && std::count(parts.begin(), parts.end(), part) == 1,
            "the split \"{}\" is no list of different names joined by +, such as train+val", split);
  return parts;
}

DetectionDataset open_voc(const std::string& folder, const std::string& split,
                          const std::vector<std::string>& class_names, ReadLog* log) {
  if (split.ends_with(".txt")) {
    for (const std::string& path : {split, folder + "/" + split})
      if (is_file(path)) return read_voc(folder, {path}, class_names, log);
    fail("there is no list file {0}, nor {1}/{0}", split, folder);
  }
  std::vector<std::string> lists;
  for (const std::string& part : parts_of(split)) {
    lists.push_back(voc_list(folder, part));
    if (!is_file(lists.back())) fail_split(folder, part);
  }
  return read_voc(folder, lists, class_names, log);
}

DetectionDataset open_coco_part(const std::string& folder, const std::string& split,
                                const std::vector<std::string>& class_names, ReadLog* log) {
  const std::vector<std::string> image_folders{folder + "/" + split, folder + "/images/" + split,
                                               folder + "/images", folder};
  for (const char* prefix : {"instances_", ""}) {
    const std::string file = fmt::format("{}/annotations/{}{}.json", folder, prefix, split);
    if (is_file(file)) return read_coco(file, image_folders, class_names, {.log = log});
  }
  fail_split(folder, split);
}

void append(DetectionDataset& all, DetectionDataset part) {
  all.name += " + " + part.name;
  std::move(part.images.begin(), part.images.end(), std::back_inserter(all.images));
  std::move(part.warnings.begin(), part.warnings.end(), std::back_inserter(all.warnings));
}

void make_ids_unique(DetectionDataset& dataset) {
  std::set<int64_t> ids;
  for (const LabelledImage& image : dataset.images) ids.insert(image.id);
  if (ids.size() == dataset.images.size()) return;
  dataset.warnings.push_back(
      fmt::format("{} use the same image ids: the images are numbered from 1 instead", dataset.name));
  for (size_t i = 0; i < dataset.images.size(); ++i) dataset.images[i].id = int64_t(i) + 1;
}

DetectionDataset open_coco(const std::string& folder, const std::string& split,
                           const std::vector<std::string>& class_names, ReadLog* log) {
  const std::vector<std::string> parts = parts_of(split);
  DetectionDataset all = open_coco_part(folder, parts.front(), class_names, log);
  for (size_t i = 1; i < parts.size(); ++i)
    append(all, open_coco_part(folder, parts[i], all.class_names, log));
  make_ids_unique(all);
  return all;
}

DetectionDataset open_yolo(const std::string& folder, const std::string& split,
                           const std::vector<std::string>& class_names, ReadLog* log) {
  const std::vector<std::string> parts = parts_of(split), splits = yolo_splits(folder);
  for (const std::string& part : parts)
    if (std::find(splits.begin(), splits.end(), part) == splits.end()) fail_split(folder, part);
  return read_yolo(folder, parts, class_names, log);
}

}  // namespace

DetectionDataset open_dataset(const std::string& folder, const std::string& split,
                              const std::vector<std::string>& class_names, ReadLog* log) {
  require(is_folder(folder), "{} is no folder: give the folder of a data set", folder);
  const DatasetFormat format = dataset_format(folder);
  require(format != DatasetFormat::none,
          "{} is no data set: neither Annotations/*.xml with ImageSets/Main/*.txt (Pascal VOC), "
          "annotations/*.json "
          "(COCO), nor data.yaml or classes.txt with images/ and labels/ (YOLO) is in it",
          folder);
  const auto open = format == DatasetFormat::voc    ? open_voc
                    : format == DatasetFormat::coco ? open_coco
                                                    : open_yolo;
  DetectionDataset dataset = open(folder, split, class_names, log);
  settle_sizes(dataset, format != DatasetFormat::yolo, log);
  return dataset;
}

DatasetFormat dataset_format(const std::string& folder) {
  if (is_voc(folder)) return DatasetFormat::voc;
  if (is_coco(folder)) return DatasetFormat::coco;
  return is_yolo(folder) ? DatasetFormat::yolo : DatasetFormat::none;
}

const char* name_of(DatasetFormat format) {
  constexpr const char* names[] = {"no data set", "Pascal VOC", "COCO", "YOLO"};
  return names[int(format)];
}

std::vector<std::string> dataset_splits(const std::string& folder) {
  switch (dataset_format(folder)) {
    case DatasetFormat::voc:
      return voc_splits(folder);
    case DatasetFormat::coco:
      return coco_splits(folder);
    case DatasetFormat::yolo:
      return yolo_splits(folder);
    case DatasetFormat::none:
      break;
  }
  return {};
}

}  // namespace fovea
