#include "train/data/layout/yolo_layout.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "core/error.h"
#include "core/file.h"
#include "core/utf8.h"
#include "train/data/files/find_file.h"
#include "train/data/files/listing.h"
#include "train/data/files/text_file.h"
#include "train/data/image/image_io.h"
#include "train/data/layout/split_name.h"

#ifdef FOVEA_YAML
#include <yaml-cpp/yaml.h>
#endif

namespace fovea {
namespace {

namespace fs = std::filesystem;

void check_names(const std::string& file, const std::vector<std::string>& names) {
  require(!names.empty(), "{} names no class: there is nothing to detect", file);
  std::set<std::string> seen;
  for (const std::string& name : names)
    require(seen.insert(name).second, "{} names the class \"{}\" twice: give every class its own name", file,
            name);
}

#ifdef FOVEA_YAML
YAML::Node parse(const std::string& file) {
  try {
    return YAML::Load(escape_bytes(read_text(file)));
  } catch (const YAML::Exception& error) {
    fail("{} is not valid YAML: line {}: {}", file, error.mark.line + 1, error.msg);
  }
}

bool has_names(const std::string& file) {
  try {
    const YAML::Node root = parse(file);
    return root.IsMap() && root["names"];
  } catch (const Error&) {
    return false;
  }
}

std::string place(const std::string& file, const YAML::Node& node) {
  return fmt::format("{}:{}", file, node.Mark().line + 1);
}

std::string text_of(const std::string& file, const YAML::Node& node, const char* field) {
  if (!node.IsScalar() || node.Scalar().empty())
    fail("{}: {} has an entry that is not a string: give a name or a path", place(file, node), field);
  return node.Scalar();
}

// A list, or a map from 0, 1, ... to the names.
std::vector<std::string> read_names(const std::string& file, const YAML::Node& root) {
  const YAML::Node names = root["names"];
  std::vector<std::string> result;
  if (names.IsScalar() && !names.Scalar().empty()) {
    result.push_back(names.Scalar());
  } else if (names.IsSequence()) {
    for (const YAML::Node& name : names) result.push_back(text_of(file, name, "names"));
  } else if (names.IsMap()) {
    std::map<int64_t, std::string> by_id;
    for (const auto& entry : names) {
      int64_t id = 0;
      try {
        id = entry.first.as<int64_t>();
      } catch (const YAML::Exception&) {
        fail("{}: names has the key \"{}\": a whole number was expected", place(file, entry.first),
             entry.first.Scalar());
      }
      by_id[id] = text_of(file, entry.second, "names");
    }
    for (const auto& [id, name] : by_id) {
      require(id == int64_t(result.size()),
              "{}: names has no class {}: number the classes from 0 on without a gap", file, result.size());
      result.push_back(name);
    }
  }
  check_names(file, result);
  if (const YAML::Node count = root["nc"])
    require(count.IsScalar() && count.Scalar() == std::to_string(result.size()),
            "{}: nc is {}, but names has {} classes: make them agree", place(file, count),
            count.IsScalar() ? count.Scalar() : "no number", result.size());
  return result;
}

// A split's places as in the file, "" or nothing if it has none.
std::vector<std::string> sources_of(const YAML::Node& value) {
  std::vector<std::string> sources;
  if (value.IsScalar() && !value.Scalar().empty()) sources.push_back(value.Scalar());
  if (value.IsSequence())
    for (const YAML::Node& entry : value)
      if (entry.IsScalar()) sources.push_back(entry.Scalar());
  return sources;
}

// [points, 2 or 3]: how many numbers the keypoints of a row are (https://docs.ultralytics.com/datasets/pose).
size_t read_keypoints(const std::string& file, const YAML::Node& shape) {
  if (!shape) return 0;
  const bool two = shape.IsSequence() && shape.size() == 2;
  const int64_t points = two ? shape[0].as<int64_t>(0) : 0, numbers = two ? shape[1].as<int64_t>(0) : 0;
  require(points >= 1 && points <= 10000 && (numbers == 2 || numbers == 3),
          "{}: kpt_shape must be [number of keypoints, 2 or 3], such as [17, 3]", place(file, shape));
  return size_t(points * numbers);
}

// A place as in the YAML file, and the path that it refers to.
struct Source {
  std::string split, text;
  std::optional<FoundPath> found;
};

bool holds(const std::string& folder, const std::string& path) {
  const auto part = fs::path(path).lexically_relative(folder);
  return !part.empty() && *part.begin() != "..";
}

// A place that does not exist must not become another split's, which may merely look like it.
void drop_places_of_others(std::vector<Source>& sources) {
  std::vector<Source> kept = sources;
  for (Source& source : kept)
    for (const Source& other : sources)
      if (source.found && source.found->shortened && other.found && other.split != source.split &&
          other.text != source.text &&
          (holds(source.found->path, other.found->path) || holds(other.found->path, source.found->path)))
        source.found.reset();
  sources = kept;
}

YoloLayout read_yaml(const std::string& folder, const std::string& file) {
  const YAML::Node root = parse(file);
  require(root.IsMap() && root["names"], "{} has no field names: list the classes in it", file);
  YoloLayout layout{.file = file, .class_names = read_names(file, root)};
  layout.keypoint_numbers = read_keypoints(file, root["kpt_shape"]);
  std::vector<std::string> bases{folder};
  if (const YAML::Node path = root["path"]; path && path.IsScalar())
    if (const auto found = find_path({folder}, path.Scalar(), is_folder))
      bases.insert(bases.begin(), found->path);
  static const std::set<std::string> known{"train", "val", "test"}, no_splits{"names", "nc", "path"};
  std::vector<Source> sources;
  for (const auto& entry : root)
    if (entry.first.IsScalar() && !no_splits.contains(entry.first.Scalar()))
      for (const std::string& text : sources_of(entry.second))
        sources.push_back({split_name(entry.first.Scalar()), text, find_path(bases, text, path_exists)});
  drop_places_of_others(sources);
  for (const Source& source : sources) {
    // Other keys are splits if they lead to images; the address of a download does not.
    const bool all_found = std::all_of(sources.begin(), sources.end(), [&](const Source& other) {
      return other.split != source.split || other.found;
    });
    if (known.contains(source.split) || all_found)
      layout.splits[source.split].push_back(source.found ? source.found->path
                                                         : (fs::path(bases.front()) / source.text).string());
  }
  return layout;
}
#else
bool has_names(const std::string& file) {
  const std::vector<std::string> lines = read_lines(file);
  return std::any_of(lines.begin(), lines.end(),
                     [](const std::string& line) { return line.starts_with("names:"); });
}

YoloLayout read_yaml(const std::string&, const std::string& file) {
  fail("{} cannot be read: this build has no YAML; install libyaml-cpp-dev, and build Fovea again", file);
}
#endif

bool has_images(const std::string& folder) {
  const std::vector<std::string> names = file_names(folder);
  return std::any_of(names.begin(), names.end(), has_image_ending);
}

// Images with their text files beside them.
bool has_labelled_images(const std::string& folder) {
  const std::vector<std::string> names = file_names(folder);
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    return has_image_ending(name) &&
           is_file(fs::path(folder + "/" + name).replace_extension(".txt").string());
  });
}

bool lists_images(const std::string& file) {
  for (const std::string& line : read_lines(file))
    if (!line.empty()) return has_image_ending(line);
  return false;
}

std::map<std::string, std::vector<std::string>> find_splits(const std::string& folder,
                                                            const std::string& names_file) {
  std::map<std::string, std::vector<std::string>> splits;
  for (const std::string& name : file_names(folder, ".txt"))
    if (folder + "/" + name != names_file && lists_images(folder + "/" + name))
      splits[fs::path(name).stem().string()] = {folder + "/" + name};
  for (const std::string& name : folder_names(folder + "/images"))
    if (has_images(folder + "/images/" + name)) splits[split_name(name)] = {folder + "/images/" + name};
  for (const std::string& name : folder_names(folder))
    if (has_images(folder + "/" + name + "/images"))
      splits[split_name(name)] = {folder + "/" + name + "/images"};
  if (splits.empty() && has_images(folder + "/images")) splits[only_split] = {folder + "/images"};
  if (!splits.empty()) return splits;
  for (const std::string& name : folder_names(folder))
    if (has_labelled_images(folder + "/" + name)) splits[split_name(name)] = {folder + "/" + name};
  if (splits.empty() && has_labelled_images(folder)) splits[only_split] = {folder};
  return splits;
}

std::optional<std::string> find_yaml(const std::string& folder) {
  if (is_file(folder + "/data.yaml")) return folder + "/data.yaml";
  for (const char* ending : {".yaml", ".yml"})
    for (const std::string& name : file_names(folder, ending))
      if (has_names(folder + "/" + name)) return folder + "/" + name;
  return std::nullopt;
}

}  // namespace

std::optional<YoloLayout> find_yolo_layout(const std::string& folder) {
  if (const auto file = find_yaml(folder)) {
    YoloLayout layout = read_yaml(folder, *file);
    layout.not_utf8 = utf8_fault(*file, read_text(*file));
    if (layout.splits.empty()) layout.splits = find_splits(folder, *file);
    return layout;
  }
  std::vector<std::string> names = file_names(folder, ".names");
  if (is_file(folder + "/classes.txt")) names.insert(names.begin(), "classes.txt");
  if (names.empty()) return std::nullopt;
  YoloLayout layout{.file = folder + "/" + names.front()};
  layout.splits = find_splits(folder, layout.file);
  if (layout.splits.empty()) return std::nullopt;
  layout.not_utf8 = utf8_fault(layout.file, read_text(layout.file));
  for (const std::string& line : read_lines(layout.file))
    if (!line.empty()) layout.class_names.push_back(escape_bytes(line));
  check_names(layout.file, layout.class_names);
  return layout;
}

}  // namespace fovea
