#include "train/data/splits.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "train/data/files/listing.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

void sort_as_trained(std::vector<std::string>& names) {
  const auto rank = [](const std::string& name) { return name == "train" ? 0 : name == "val" ? 1 : 2; };
  std::stable_sort(names.begin(), names.end(),
                   [&](const std::string& a, const std::string& b) { return rank(a) < rank(b); });
}

std::set<std::string> files_of(const DatasetSplit& split) {
  std::set<std::string> files;
  for (const LabelledImage& image : split.dataset.images) files.insert(image.file);
  return files;
}

// Adds the split's classes to those of the data set, and makes its labels index these.
void join_classes(DatasetSplits& data, DatasetSplit& split) {
  split.own_classes = split.dataset.class_names;
  std::vector<int> labels;
  for (size_t i = 0; i < split.own_classes.size(); ++i) {
    auto found = std::find(data.class_names.begin(), data.class_names.end(), split.own_classes[i]);
    labels.push_back(int(found - data.class_names.begin()));
    if (found != data.class_names.end()) continue;
    data.class_names.push_back(split.own_classes[i]);
    // A new id, if another file uses this one for another class.
    int id = split.dataset.category_ids[i];
    if (std::count(data.category_ids.begin(), data.category_ids.end(), id))
      id = *std::max_element(data.category_ids.begin(), data.category_ids.end()) + 1;
    data.category_ids.push_back(id);
  }
  for (LabelledImage& image : split.dataset.images)
    for (Annotation& a : image.annotations) a.label = labels[size_t(a.label)];
}

// Removes those that the data set lists. Pictures in unsupported formats stay.
void remove_listed(std::vector<std::string>& pictures, const DetectionDataset& dataset) {
  const auto plain = [](const std::string& file) { return fs::absolute(file).lexically_normal().string(); };
  std::set<std::string> listed;
  for (const LabelledImage& image : dataset.images) listed.insert(plain(image.file));
  std::erase_if(pictures, [&](const std::string& file) { return listed.contains(plain(file)); });
}

std::vector<std::string> sentences_of(const std::vector<std::string>& pictures) {
  std::vector<std::string> sentences;
  for (const std::string& file : pictures)
    sentences.push_back(file +
                        (is_unread_picture(file) ? " is in an unsupported format" : " is in no split"));
  return sentences;
}

}  // namespace

DatasetSplits open_splits(const std::string& folder, std::vector<std::string> names, ReadLog* log) {
  DatasetSplits data{.format = dataset_format(folder)};
  const bool all = names.empty() && data.format != DatasetFormat::none;
  if (all) names = dataset_splits(folder);
  if (names.empty()) names = {"train"};  // open_dataset then reports why it is missing
  sort_as_trained(names);
  for (const std::string& name : names) {
    try {
      DatasetSplit split{.name = name, .dataset = open_dataset(folder, name, {}, log)};
      if (log) split.raw_boxes = std::exchange(log->boxes, {});
      join_classes(data, split);
      data.splits.push_back(std::move(split));
    } catch (const Error& error) {
      if (!log || data.format == DatasetFormat::none) throw;
      log->boxes.clear();
      const bool trained = !all || name == "train" || name == "val";
      log->faults.push_back({trained ? ProblemKind::malformed : ProblemKind::missing_split, error.what()});
    }
  }
  if (all) {
    std::vector<std::string> pictures = picture_files(folder);
    for (const DatasetSplit& split : data.splits) remove_listed(pictures, split.dataset);
    data.unlisted = sentences_of(pictures);
  }
  for (DatasetSplit& split : data.splits) {
    split.dataset.class_names = data.class_names;
    split.dataset.category_ids = data.category_ids;
  }
  return data;
}

std::vector<std::string> unlisted_pictures(const std::string& folder, const std::vector<std::string>& opened,
                                           std::span<const DetectionDataset* const> datasets) {
  if (dataset_format(folder) == DatasetFormat::none) return {};
  std::vector<std::string> pictures = picture_files(folder);
  for (const DetectionDataset* dataset : datasets) remove_listed(pictures, *dataset);
  // YOLO's reader reports these itself.
  if (dataset_format(folder) == DatasetFormat::yolo) std::erase_if(pictures, is_unread_picture);
  std::set<std::string> known;
  for (const std::string& split : opened)
    for (const std::string& part : parts_of(split)) known.insert(part);
  if (!pictures.empty())
    for (const std::string& name : dataset_splits(folder)) {
      if (known.contains(name)) continue;
      try {
        ReadLog faults;
        remove_listed(pictures, open_dataset(folder, name, {}, &faults));
      } catch (const Error&) {  // `fovea data check` reports what is wrong with it
      }
    }
  return sentences_of(pictures);
}

std::vector<std::string> joined_splits(const DatasetSplits& data) {
  std::vector<std::set<std::string>> files;
  for (const DatasetSplit& split : data.splits) files.push_back(files_of(split));
  std::vector<std::string> joined;
  for (size_t i = 0; i < files.size(); ++i) {
    std::set<std::string> smaller;
    bool holds_one = false;
    for (const std::set<std::string>& other : files) {
      if (other.empty() || other.size() >= files[i].size()) continue;
      smaller.insert(other.begin(), other.end());
      holds_one |= std::includes(files[i].begin(), files[i].end(), other.begin(), other.end());
    }
    if (holds_one && std::includes(smaller.begin(), smaller.end(), files[i].begin(), files[i].end()))
      joined.push_back(data.splits[i].name);
  }
  return joined;
}

}  // namespace fovea
