#include "train/evaluation/results.h"

#include <filesystem>
#include <iterator>
#include <unordered_map>

#include "core/error.h"
#include "core/file.h"
#include "nn/io/json.h"
#include "train/evaluation/check.h"

namespace fovea {
namespace {

using nlohmann::json;

// A JSON value for a message, cut short if it is long.
std::string shown(const json& value) {
  const std::string text = value.dump();
  return text.size() <= 60 ? text : text.substr(0, 60) + "...";
}

// Turns the entries of a results file, one after another, into detections.
class ResultsReader {
 public:
  ResultsReader(const std::string& path, const DetectionDataset& truth) : path_(path), truth_(truth) {
    for (size_t i = 0; i < truth.images.size(); ++i) images_.emplace(truth.images[i].id, i);
    for (size_t c = 0; c < truth.category_ids.size(); ++c) labels_.emplace(truth.category_ids[c], int(c));
    detections_.resize(truth.images.size());
  }

  void add(const json& entry) {
    require(entry.is_object(),
            "{}: entry {} is {}: it must be an object with image_id, category_id, bbox and score", path_,
            entry_, shown(entry));
    const size_t image = find(images_, entry, "image_id");
    const int label = find(labels_, entry, "category_id");
    const json& box = field(entry, "bbox");
    require(box.is_array() && box.size() == 4,
            "{}: entry {} has bbox {}: it must be [left, top, width, height]", path_, entry_, shown(box));
    detections_[image].push_back({number(box[0], "bbox"), number(box[1], "bbox"), number(box[2], "bbox"),
                                  number(box[3], "bbox"), number(field(entry, "score"), "score"), label});
    ++entry_;
  }

  DatasetDetections take() { return std::move(detections_); }

 private:
  const json& field(const json& entry, const char* name) const {
    const auto found = entry.find(name);
    require(found != entry.end(),
            "{}: entry {} has no {}: each detection needs image_id, category_id, bbox and score", path_,
            entry_, name);
    return *found;
  }

  double number(const json& value, const char* name) const {
    const json plain = plain_number(value);
    require(plain.is_number(), "{}: entry {} has {} in its {}: it must be a number", path_, entry_,
            shown(value), name);
    return plain.get<double>();
  }

  // The data set's entry for the id in a field.
  template <class T>
  T find(const std::unordered_map<int64_t, T>& known, const json& entry, const char* name) const {
    const json id = plain_number(field(entry, name));
    require(id.is_number_integer(), "{}: entry {} has {} {}: it must be a whole number", path_, entry_, name,
            shown(id));
    const auto found = known.find(id.get<int64_t>());
    require(found != known.end(),
            "{}: entry {} has {} {}, which {} does not have: evaluate against the data set that the results "
            "were made on",
            path_, entry_, name, shown(id), truth_.name);
    return found->second;
  }

  const std::string& path_;
  const DetectionDataset& truth_;
  std::unordered_map<int64_t, size_t> images_;
  std::unordered_map<int64_t, int> labels_;
  DatasetDetections detections_;
  size_t entry_ = 0;
};

}  // namespace

DatasetDetections read_coco_results(const std::string& path, const DetectionDataset& truth) {
  ResultsReader reader(path, truth);
  // The entries, at depth 1, are dropped once read: half a million of them as a tree would take half a
  // gigabyte.
  const auto visit = [&](int depth, json::parse_event_t event, json& value) {
    const bool start =
        event == json::parse_event_t::object_start || event == json::parse_event_t::array_start;
    require(depth > 0 || event == json::parse_event_t::array_start || event == json::parse_event_t::array_end,
            "{} is not a results file: it must be a list of detections, [{{\"image_id\": ...}}, ...]", path);
    if (depth != 1 || start) return true;
    reader.add(value);
    return false;
  };
  parse_json(read_file(path), path, "JSON", visit);
  return reader.take();
}

void write_coco_results(const std::string& path, const DetectionDataset& truth,
                        const DatasetDetections& detections) {
  check_detections(truth, detections);
  std::string text = "[";
  const char* separator = "\n";
  for (size_t i = 0; i < detections.size(); ++i) {
    const std::string name = dump_json(json(std::filesystem::path(truth.images[i].file).filename().string()));
    for (const ScoredBox& box : detections[i]) {
      fmt::format_to(std::back_inserter(text),
                     R"({}{{"image_id":{},"file_name":{},"category_id":{},"bbox":[{},{},{},{}],"score":{}}})",
                     separator, truth.images[i].id, name, truth.category_ids[size_t(box.label)], box.x, box.y,
                     box.width, box.height, box.score);
      separator = ",\n";
    }
  }
  write_file_atomically(path, text + "\n]\n");
}

}  // namespace fovea
