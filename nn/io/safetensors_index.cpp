#include "nn/io/safetensors_index.h"

#include <filesystem>
#include <map>
#include <set>

#include "core/error.h"
#include "nn/io/json.h"

namespace fovea {
namespace {

// The file of each tensor.
using WeightMap = std::map<std::string, std::string>;

bool is_plain_name(const std::string& file) {
  return file.ends_with(".safetensors") && file.find_first_of(std::string_view("/\\\0", 3)) == file.npos;
}

WeightMap read_weight_map(std::string_view text, const std::string& path) {
  std::set<std::string> keys;  // of the object in the index that is being read
  const auto visit = [&](int depth, nlohmann::json::parse_event_t event, const nlohmann::json& value) {
    if (event != nlohmann::json::parse_event_t::key) return true;
    if (depth == 1) keys.clear();
    const auto name = value.get<std::string>();
    require(depth != 2 || keys.insert(name).second, "{}: tensor {} is named twice", path, name);
    return true;
  };
  const nlohmann::json index = parse_json(text, path, "an index of weights in JSON", visit);
  require(
      index.is_object() && index.contains("weight_map") && index["weight_map"].is_object() &&
          !index["weight_map"].empty(),
      "{} is not an index of weights: it must have a weight_map, an object with the file name of each tensor",
      path);
  WeightMap map;
  for (const auto& [tensor, file] : index["weight_map"].items()) {
    require(
        file.is_string() && is_plain_name(file.get<std::string>()),
        "{}: the file of tensor {} is {}: it must be the name of a file beside the index, without folders, "
        "that ends in .safetensors",
        path, tensor, dump_json(file));
    map[tensor] = file.get<std::string>();
  }
  return map;
}

}  // namespace

// A safetensors file begins with the length of its header in eight bytes, of which the last is 0.
bool SafetensorsIndex::is_one(const std::string& path) {
  const MappedFile file(path);
  const std::string_view text = file.content();
  return text.size() > 8 && text[0] == '{' && text[7] != '\0' && text.find("\"weight_map\"") != text.npos;
}

SafetensorsIndex::SafetensorsIndex(const std::string& path) : WeightFile(path) {
  const WeightMap map = read_weight_map(content(), path);
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  std::map<std::string, std::string> first_tensors;  // of each file, for messages
  for (const auto& [tensor, file] : map) first_tensors.emplace(file, tensor);
  for (const auto& [name, tensor] : first_tensors) {
    const std::string file = (folder / name).string();
    require(is_file(file), "{} is missing, but {} puts tensor {} there: all files must lie beside the index",
            file, path, tensor);
    const SafetensorsFile& shard = *shards_.emplace_back(std::make_unique<SafetensorsFile>(file));
    for (const Entry& entry : shard.entries()) {
      const auto found = map.find(entry.name);
      require(found != map.end(), "{}: tensor {} is not in the index {}", file, entry.name, path);
      require(found->second == name, "{}: tensor {} lies here, but {} puts it into {}", file, entry.name,
              path, found->second);
      add(entry);
    }
    metadata_.insert(shard.metadata().begin(), shard.metadata().end());
  }
  for (const auto& [tensor, file] : map)
    require(find(tensor), "{} lacks tensor {}, but {} puts it there", (folder / file).string(), tensor, path);
}

std::vector<std::string> SafetensorsIndex::files() const {
  std::vector<std::string> files{path_};
  for (const auto& shard : shards_) files.push_back(shard->path());
  return files;
}

}  // namespace fovea
