#include "cli/learn/progress.h"

#include "core/error.h"
#include "core/file.h"
#include "nn/io/json.h"

namespace fovea {

Progress read_progress(const std::string& folder) {
  const std::string path = folder + "/progress.json";
  Progress progress;
  if (!path_exists(path)) return progress;
  const nlohmann::json json = parse_json(read_file(path), path, "the progress of a student");
  const auto valid = [](const nlohmann::json& entry) {
    return entry.is_object() && entry.value("solved", nlohmann::json()).is_boolean() &&
           entry.value("checks", nlohmann::json()).is_number_integer() &&
           entry.value("hints", nlohmann::json()).is_number_integer();
  };
  require(json.is_object(), "{} is not the progress of a student: remove it to start again", path);
  for (const auto& [name, entry] : json.items()) {
    require(valid(entry),
            "{}: `{}` needs solved, checks and hints: remove the entry, or the file to start again", path,
            name);
    progress[name] = {entry["solved"], entry["checks"], entry["hints"]};
  }
  return progress;
}

void write_progress(const std::string& folder, const Progress& progress) {
  nlohmann::json json = nlohmann::json::object();
  for (const auto& [name, entry] : progress)
    json[name] = {{"solved", entry.solved}, {"checks", entry.checks}, {"hints", entry.hints}};
  write_file_atomically(folder + "/progress.json", json.dump(1) + "\n");
}

}  // namespace fovea
