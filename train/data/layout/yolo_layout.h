#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace fovea {

// The places of the parts of a YOLO data set, as yolo.h describes them.
struct YoloLayout {
  std::string file;  // the one with the classes' names
  std::vector<std::string> class_names;
  size_t keypoint_numbers = 0;  // numbers after a row's box, from kpt_shape; 0: a longer row is an outline
  std::optional<std::string> not_utf8;                     // the fault, if the file is not UTF-8
  std::map<std::string, std::vector<std::string>> splits;  // folders of images and files that list images
};

// Returns nothing if the folder has no such layout. Throws Error naming file, line, field and value if its
// YAML file is malformed, names no class or a class twice, or has a count (nc) that differs from the names.
std::optional<YoloLayout> find_yolo_layout(const std::string& folder);

}  // namespace fovea
