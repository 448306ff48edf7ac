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
  std::map<std::string, std::vector<std::string>> splits;  // folders of images and files that list images
};

// Nothing where the folder has no such layout. Throws Error naming file, line, field and value where its YAML
// file is malformed, names no class or a class twice, or counts (nc) other than it names.
std::optional<YoloLayout> find_yolo_layout(const std::string& folder);

// `path` from the folder, from the root or from here; its leading folders are left out one by one until it
// leads somewhere. Nothing where it never does.
std::optional<std::string> find_path(const std::string& folder, const std::string& path);

// The lines of a text file without the blanks around them.
std::vector<std::string> read_lines(const std::string& file);

}  // namespace fovea
