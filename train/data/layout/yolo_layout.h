#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace fovea {

// Where a YOLO data set keeps what, as yolo.h describes it.
struct YoloLayout {
  std::string file;  // that holds the classes' names
  std::vector<std::string> class_names;
  size_t keypoint_numbers = 0;  // that follow a row's box, as kpt_shape says; 0: a longer row is an outline
  std::optional<std::string> not_utf8;                     // the fault, where the file is not UTF-8
  std::map<std::string, std::vector<std::string>> splits;  // folders of images and files that list images
};

// Nothing where the folder has no such layout. Throws Error naming file, line, field and value where its YAML
// file is malformed, names no class or a class twice, or counts (nc) other than it names.
std::optional<YoloLayout> find_yolo_layout(const std::string& folder);

}  // namespace fovea
