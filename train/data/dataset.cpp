#include "train/data/dataset.h"

#include <algorithm>
#include <map>
#include <set>

#include "core/error.h"
#include "core/file.h"
#include "core/utf8.h"
#include "train/data/coco.h"
#include "train/data/files/listing.h"
#include "train/data/image_sizes.h"
#include "train/data/layout/coco_layout.h"
#include "train/data/layout/split_name.h"
#include "train/data/layout/voc_layout.h"
#include "train/data/voc.h"
#include "train/data/yolo.h"

namespace fovea {
namespace {

bool has_files(const std::string& folder, const char* ending) { return !file_names(folder, ending).empty(); }

[[noreturn]] void fail_split(const std::string& folder, const std::string& split) {
  const auto splits = dataset_splits(folder);
  require(!splits.empty(), "{} has no split \"{}\", nor any other: it names none", folder, split);
  fail("{} has no split \"{}\": it has {}", folder, split, fmt::join(splits, ", "));
}

// The parts of `split` among the splits of a layout.
template <class Split>
std::vector<Split> chosen_of(const std::map<std::string, Split>& splits, const std::string& folder,
                             const std::string& split) {
  std::vector<Split> chosen;
  for (const std::string& part : parts_of(split)) {
    const auto found = splits.find(split_name(part));
    if (found == splits.end()) fail_split(folder, part);
    chosen.push_back(found->second);
  }
  return chosen;
}

DetectionDataset open_voc(const std::string& folder, const std::string& split,
                          const std::vector<std::string>& class_names, ReadLog* log) {
  const VocLayout layout = find_voc_layout(folder);
  if (!split.ends_with(".txt"))
    return read_voc(layout, chosen_of(layout.splits, folder, split), class_names, log);
  VocSplit listed = layout.splits.begin()->second;
  for (const std::string& path : {split, folder + "/" + split}) {
    listed.list = path;
    if (is_file(path)) return read_voc(layout, {listed}, class_names, log);
  }
  fail("there is no list file {0}, nor {1}/{0}", split, folder);
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
  const std::vector<CocoSplit> parts = chosen_of(find_coco_splits(folder), folder, split);
  const auto read = [&](const CocoSplit& part, const std::vector<std::string>& names) {
    return read_coco(part.file, part.image_folders, names, {.log = log});
  };
  DetectionDataset all = read(parts.front(), class_names);
  for (size_t i = 1; i < parts.size(); ++i) append(all, read(parts[i], all.class_names));
  make_ids_unique(all);
  return all;
}

DetectionDataset open_yolo(const std::string& folder, const std::string& split,
                           const std::vector<std::string>& class_names, ReadLog* log) {
  std::map<std::string, std::string> names;  // the split's own name, by each of its names
  for (const std::string& name : yolo_splits(folder)) names[name] = name;
  return read_yolo(folder, chosen_of(names, folder, split), class_names, log);
}

void note_names(DetectionDataset& dataset, ReadLog* log) {
  std::vector<std::string> faults;
  for (const LabelledImage& image : dataset.images)
    if (!is_utf8(image.file)) faults.push_back(escape_bytes(image.file) + " has a name that is not UTF-8");
  warn_of(ProblemKind::not_utf8, faults, dataset.warnings, log);
}

}  // namespace

std::vector<std::string> parts_of(const std::string& split) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= split.size();) {
    const size_t end = std::min(split.find('+', begin), split.size());
    parts.push_back(split.substr(begin, end - begin));
    begin = end + 1;
  }
  for (const std::string& part : parts)
    require(!part.empty() && std::count(parts.begin(), parts.end(), part) == 1,
            "the split \"{}\" is not a list of different names joined by +, such as train+val", split);
  return parts;
}

DetectionDataset open_dataset(const std::string& folder, const std::string& split,
                              const std::vector<std::string>& class_names, ReadLog* log) {
  require(is_folder(folder), "{} is not a folder: give the folder of a data set", folder);
  const DatasetFormat format = dataset_format(folder);
  require(format != DatasetFormat::none,
          "{} is not a data set: neither Annotations/*.xml with ImageSets/Main/*.txt (Pascal VOC), "
          "annotations/*.json "
          "(COCO), nor data.yaml or classes.txt with images/ and labels/ (YOLO) is in it",
          folder);
  const auto open = format == DatasetFormat::voc    ? open_voc
                    : format == DatasetFormat::coco ? open_coco
                                                    : open_yolo;
  DetectionDataset dataset = open(folder, split, class_names, log);
  note_names(dataset, log);
  settle_sizes(dataset, format != DatasetFormat::yolo, log);
  return dataset;
}

DatasetFormat dataset_format(const std::string& folder) {
  for (const char* name : {"/Annotations", "/annotations"})
    if (has_files(folder + name, ".xml")) return DatasetFormat::voc;
  if (has_files(folder + "/annotations", ".json")) return DatasetFormat::coco;
  if (is_yolo(folder)) return DatasetFormat::yolo;
  if (!find_voc_layout(folder).splits.empty()) return DatasetFormat::voc;
  return find_coco_splits(folder).empty() ? DatasetFormat::none : DatasetFormat::coco;
}

const char* name_of(DatasetFormat format) {
  constexpr const char* names[] = {"no data set", "Pascal VOC", "COCO", "YOLO"};
  return names[int(format)];
}

std::vector<std::string> dataset_splits(const std::string& folder) {
  std::vector<std::string> names;
  const auto add = [&](const auto& splits) {
    for (const auto& [name, split] : splits) names.push_back(name);
  };
  const DatasetFormat format = dataset_format(folder);
  if (format == DatasetFormat::voc) add(find_voc_layout(folder).splits);
  if (format == DatasetFormat::coco) add(find_coco_splits(folder));
  return format == DatasetFormat::yolo ? yolo_splits(folder) : names;
}

std::vector<int64_t> boxes_of_classes(const DetectionDataset& dataset) {
  std::vector<int64_t> counts(dataset.class_names.size());
  for (const LabelledImage& image : dataset.images)
    for (const Annotation& a : image.annotations)
      if (!a.crowd && a.has_area()) ++counts[size_t(a.label)];
  return counts;
}

}  // namespace fovea
