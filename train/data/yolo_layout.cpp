#include "train/data/yolo_layout.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "core/error.h"
#include "core/file.h"
#include "train/data/image/image_io.h"
#include "train/data/listing.h"

#ifdef FOVEA_YAML
#include <yaml-cpp/yaml.h>
#endif

namespace fovea {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view split_of_one_folder = "all";

void check_names(const std::string& file, const std::vector<std::string>& names) {
  require(!names.empty(), "{} names no class: there is nothing to detect", file);
  std::set<std::string> seen;
  for (const std::string& name : names)
    require(seen.insert(name).second, "{} names the class \"{}\" twice: give every class a name of its own",
            file, name);
}

std::string split_name(const std::string& key) { return key == "valid" || key == "validation" ? "val" : key; }

#ifdef FOVEA_YAML
YAML::Node parse(const std::string& file) {
  try {
    return YAML::Load(read_file(file));
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
    fail("{}: {} has an entry that is no text: give a name or a path", place(file, node), field);
  return node.Scalar();
}

// A list, or a map from 0, 1, ... to the names.
std::vector<std::string> read_names(const std::string& file, const YAML::Node& root) {
  const YAML::Node names = root["names"];
  std::vector<std::string> result;
  if (names.IsSequence()) {
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

// A split's places as the file has them, "" or nothing where it has none.
std::vector<std::string> sources_of(const YAML::Node& value) {
  std::vector<std::string> sources;
  if (value.IsScalar() && !value.Scalar().empty()) sources.push_back(value.Scalar());
  if (value.IsSequence())
    for (const YAML::Node& entry : value)
      if (entry.IsScalar()) sources.push_back(entry.Scalar());
  return sources;
}

YoloLayout read_yaml(const std::string& folder, const std::string& file) {
  const YAML::Node root = parse(file);
  require(root.IsMap() && root["names"], "{} has no field names: list the classes in it", file);
  YoloLayout layout{.file = file, .class_names = read_names(file, root)};
  std::vector<std::string> bases{folder};
  if (const YAML::Node path = root["path"]; path && path.IsScalar())
    if (const auto found = find_path(folder, path.Scalar()); found && is_folder(*found))
      bases.insert(bases.begin(), *found);
  static const std::set<std::string> known{"train", "val", "test"}, no_splits{"names", "nc", "path"};
  for (const auto& entry : root) {
    if (!entry.first.IsScalar() || no_splits.contains(entry.first.Scalar())) continue;
    const std::string split = split_name(entry.first.Scalar());
    const std::vector<std::string> sources = sources_of(entry.second);
    std::vector<std::string> paths;
    bool all_found = true;
    for (const std::string& source : sources) {
      std::optional<std::string> found;
      for (const std::string& base : bases)
        if (!found) found = find_path(base, source);
      all_found &= found.has_value();
      paths.push_back(found.value_or(fmt::format("{}/{}", bases.front(), source)));
    }
    // Other keys are splits where they lead to images; a download's address does not.
    if (!sources.empty() && (known.contains(split) || all_found)) layout.splits[split] = paths;
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
  if (splits.empty() && has_images(folder + "/images"))
    splits[std::string(split_of_one_folder)] = {folder + "/images"};
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
  if (const auto file = find_yaml(folder)) return read_yaml(folder, *file);
  std::vector<std::string> names = file_names(folder, ".names");
  if (is_file(folder + "/classes.txt")) names.insert(names.begin(), "classes.txt");
  if (names.empty()) return std::nullopt;
  YoloLayout layout{.file = folder + "/" + names.front()};
  layout.splits = find_splits(folder, layout.file);
  if (layout.splits.empty()) return std::nullopt;
  for (const std::string& line : read_lines(layout.file))
    if (!line.empty()) layout.class_names.push_back(line);
  check_names(layout.file, layout.class_names);
  return layout;
}

std::optional<std::string> find_path(const std::string& folder, const std::string& path) {
  if (path.empty()) return std::nullopt;
  if (fs::path(path).is_absolute() && path_exists(path)) return fs::path(path).lexically_normal().string();
  const fs::path relative = fs::path(path).relative_path().lexically_normal();
  for (auto begin = relative.begin(); begin != relative.end(); ++begin) {
    fs::path tail = folder;
    for (auto part = begin; part != relative.end(); ++part) tail /= *part;
    if (path_exists(tail.string())) return tail.lexically_normal().string();
  }
  return std::nullopt;
}

std::vector<std::string> read_lines(const std::string& file) {
  constexpr const char* blanks = " \t\r\n\v\f";
  const std::string content = read_file(file);
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < content.size();) {
    const size_t end = std::min(content.find('\n', begin), content.size());
    std::string line = content.substr(begin, end - begin);
    begin = end + 1;
    line.erase(line.find_last_not_of(blanks) + 1);
    line.erase(0, line.find_first_not_of(blanks));
    lines.push_back(line);
  }
  return lines;
}

}  // namespace fovea
