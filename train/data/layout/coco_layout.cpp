#include "train/data/layout/coco_layout.h"

#include <algorithm>
#include <cctype>

#include "core/file.h"
#include "train/data/files/listing.h"
#include "train/data/layout/split_name.h"

namespace fovea {
namespace {

using Splits = std::map<std::string, CocoSplit>;
constexpr std::string_view prefix = "instances_", ending = ".json";

// The JSON files of a folder that hold boxes, without opening them as JSON: one may be damaged, which is
// reported when it is read.
std::vector<std::string> coco_files(const std::string& folder) {
  std::vector<std::string> files;
  for (const std::string& name : file_names(folder, std::string(ending))) {
    const std::string content = read_file(folder + "/" + name);
    const auto has = [&](const char* list) { return content.find(list) != std::string::npos; };
    if (has("\"images\"") && has("\"annotations\"") && has("\"categories\"")) files.push_back(name);
  }
  return files;
}

std::string stem_of(const std::string& name) { return name.substr(0, name.size() - ending.size()); }

// Besides instances_*.json the official sets have captions_*.json and others, which hold no boxes.
Splits in_annotations(const std::string& folder) {
  Splits splits;
  const std::vector<std::string> names = file_names(folder + "/annotations", std::string(ending));
  const bool official =
      std::any_of(names.begin(), names.end(), [](const auto& name) { return name.starts_with(prefix); });
  for (const std::string& name : names) {
    if (official && !name.starts_with(prefix)) continue;
    const std::string split = official ? stem_of(name).substr(prefix.size()) : stem_of(name);
    splits[split_name(split)] = {
        folder + "/annotations/" + name,
        {folder + "/" + split, folder + "/images/" + split, folder + "/images", folder}};
  }
  return splits;
}

Splits in_folders(const std::string& folder) {
  Splits splits;
  for (const std::string& name : folder_names(folder))
    if (const auto files = coco_files(folder + "/" + name); !files.empty()) {
      const std::string place = folder + "/" + name;
      splits[split_name(name)] = {place + "/" + files.front(), {place, place + "/images", folder}};
    }
  return splits;
}

// The split in the name of a file: "train" in "coco_train_v2".
std::string split_in(const std::string& stem) {
  std::string word;
  for (const char c : stem + ".") {
    if (std::isalnum(static_cast<unsigned char>(c))) {
      word += c;
      continue;
    }
    if (word == "train" || word == "test" || split_name(word) == "val") return split_name(word);
    word.clear();
  }
  return "";
}

Splits beside_images(const std::string& folder) {
  Splits splits;
  const std::vector<std::string> files = coco_files(folder);
  for (const std::string& name : files) {
    std::string split = split_in(stem_of(name));
    if (split.empty()) split = files.size() == 1 ? only_split : stem_of(name);
    splits[split] = {folder + "/" + name,
                     {folder + "/images", folder + "/" + split, folder + "/images/" + split, folder}};
  }
  return splits;
}

}  // namespace

Splits find_coco_splits(const std::string& folder) {
  for (const auto find : {in_annotations, in_folders, beside_images})
    if (Splits splits = find(folder); !splits.empty()) return splits;
  return {};
}

}  // namespace fovea
