#pragma once
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "train/data/dataset.h"

namespace fovea {

inline nlohmann::json read_json(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(path + " cannot be read");
  return nlohmann::json::parse(file);
}

// The truth of a COCO annotation file as it is, boxes unrepaired: what pycocotools reads, without any reader
// of the project.
inline DetectionDataset coco_truth(const std::string& path) {
  const nlohmann::json file = read_json(path);
  DetectionDataset truth;
  truth.name = path;
  std::map<int, std::string> categories;
  for (const auto& category : file["categories"]) categories[category["id"]] = category["name"];
  std::map<int, int> labels;
  for (const auto& [id, name] : categories) {
    labels[id] = int(truth.class_names.size());
    truth.class_names.push_back(name);
    truth.category_ids.push_back(id);
  }
  std::map<int64_t, size_t> places;
  for (const auto& image : file["images"]) {
    places[image["id"]] = truth.images.size();
    truth.images.push_back({image["file_name"], image["id"], image["width"], image["height"], {}});
  }
  for (const auto& object : file["annotations"]) {
    const auto& box = object["bbox"];
    truth.images[places.at(object["image_id"])].annotations.push_back(
        {box[0], box[1], box[2], box[3], object["area"], labels.at(object["category_id"]),
         object["iscrowd"] == 1});
  }
  return truth;
}

}  // namespace fovea
