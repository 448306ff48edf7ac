#include "train/evaluation/box_folder.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <map>
#include <sstream>

#include "core/error.h"
#include "core/utf8.h"
#include "train/data/files/text_file.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

struct Line {
  std::string class_name;
  std::vector<double> numbers;
  std::string where;  // file and line, for errors
};

std::vector<Line> read_boxes(const std::string& path, const std::vector<std::string>& fields) {
  std::istringstream text(read_text(path));
  std::vector<Line> lines;
  std::string line;
  for (int number = 1; std::getline(text, line); ++number) {
    std::istringstream words(line);
    Line parsed{"", {}, fmt::format("{} line {}", path, number)};
    if (!(words >> parsed.class_name)) continue;  // an empty line
    parsed.class_name = escape_bytes(parsed.class_name);
    for (const std::string& field : fields) {
      std::string word;
      require(bool(words >> word), "{} has no {}: a line is class {}", parsed.where, field,
              fmt::join(fields, " "));
      double value = 0;
      const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
      require(error == std::errc() && end == word.data() + word.size() && std::isfinite(value),
              "{}: the {} '{}' is not a number", parsed.where, field, word);
      parsed.numbers.push_back(value);
    }
    std::string rest;
    require(!(words >> rest), "{} has '{}' after the last field: a line is class {}", parsed.where, rest,
            fmt::join(fields, " "));
    lines.push_back(std::move(parsed));
  }
  return lines;
}

// The .txt files of a folder by their stems, sorted.
std::map<std::string, std::string> text_files(const std::string& folder) {
  std::error_code error;
  std::map<std::string, std::string> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error))
    if (entry.path().extension() == ".txt") files[entry.path().stem().string()] = entry.path().string();
  require(!error, "the folder {} cannot be read: {}", folder, error.message());
  require(!files.empty(), "{} has no .txt file: expected one for each image", folder);
  return files;
}

int label_of(DetectionDataset& dataset, const std::string& name) {
  const auto found = std::find(dataset.class_names.begin(), dataset.class_names.end(), name);
  if (found != dataset.class_names.end()) return int(found - dataset.class_names.begin());
  dataset.class_names.push_back(name);
  dataset.category_ids.push_back(int(dataset.class_names.size()));
  return int(dataset.class_names.size()) - 1;
}

}  // namespace

std::pair<DetectionDataset, DatasetDetections> read_box_folders(const std::string& truth_folder,
                                                                const std::string& detection_folder) {
  DetectionDataset truth;
  truth.name = truth_folder;
  std::map<std::string, size_t> index;
  for (const auto& [stem, file] : text_files(truth_folder)) {
    index[stem] = truth.images.size();
    truth.images.push_back({file, int64_t(truth.images.size()) + 1, 0, 0, {}});
    for (const Line& line : read_boxes(file, {"x", "y", "width", "height"})) {
      const auto& n = line.numbers;
      require(n[2] > 0 && n[3] > 0, "{}: the box is {} x {}: both must be greater than 0", line.where, n[2],
              n[3]);
      truth.images.back().annotations.push_back(
          {n[0], n[1], n[2], n[3], n[2] * n[3], label_of(truth, line.class_name)});
    }
  }
  DatasetDetections detections(truth.images.size());
  for (const auto& [stem, file] : text_files(detection_folder)) {
    const auto found = index.find(stem);
    require(found != index.end(), "{} has detections for an image without ground truth in {}", file,
            truth_folder);
    for (const Line& line : read_boxes(file, {"score", "x", "y", "width", "height"})) {
      const auto& n = line.numbers;
      require(n[0] >= 0 && n[0] <= 1, "{}: the score is {}: it must be from 0 to 1", line.where, n[0]);
      require(n[3] > 0 && n[4] > 0, "{}: the box is {} x {}: both must be greater than 0", line.where, n[3],
              n[4]);
      detections[found->second].push_back({n[1], n[2], n[3], n[4], n[0], label_of(truth, line.class_name)});
    }
  }
  return {truth, detections};
}

}  // namespace fovea
