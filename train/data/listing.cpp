#include "train/data/listing.h"

#include <algorithm>
#include <filesystem>

#include "core/error.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

// Sorted, because a file system hands out names in an order of its own, and the order of a data set must not
// depend on it.
std::vector<std::string> names(const std::string& folder, bool folders) {
  std::vector<std::string> result;
  std::error_code error;
  if (!fs::is_directory(folder, error)) return result;
  fs::directory_iterator entry(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    std::error_code of_entry;  // a link that leads nowhere is neither a file nor a folder
    const std::string name = entry->path().filename().string();
    if (!name.starts_with('.') &&
        (folders ? entry->is_directory(of_entry) : entry->is_regular_file(of_entry)))
      result.push_back(name);
  }
  require(!error, "the folder {} cannot be read: {}", folder, error.message());
  std::sort(result.begin(), result.end());
  return result;
}

}  // namespace

std::vector<std::string> file_names(const std::string& folder, const std::string& ending) {
  std::vector<std::string> result = names(folder, false);
  std::erase_if(result, [&](const std::string& name) { return !name.ends_with(ending); });
  return result;
}

std::vector<std::string> folder_names(const std::string& folder) { return names(folder, true); }

}  // namespace fovea
