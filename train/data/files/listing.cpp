#include "train/data/files/listing.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "core/error.h"
#include "train/data/image/image_io.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

// The names are sorted, because a file system lists them in any order, and the order of a data set must not
// depend on it.
std::vector<std::string> names(const std::string& folder, bool folders) {
  std::vector<std::string> result;
  std::error_code error;
  if (!fs::is_directory(folder, error)) return result;
  fs::directory_iterator entry(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    std::error_code of_entry;  // a broken link is neither a file nor a folder
    const std::string name = entry->path().filename().string();
    if (!name.starts_with('.') && name != "__MACOSX" &&
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

bool is_unread_picture(const std::string& name) {
  static const std::set<std::string> endings{".webp", ".tif",  ".tiff", ".gif", ".heic",
                                             ".heif", ".avif", ".jfif", ".jp2", ".jxl",
                                             ".ppm",  ".pgm",  ".tga",  ".dng", ".raw"};
  std::string ending = fs::path(name).extension().string();
  for (char& c : ending) c = c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c;
  return endings.contains(ending) && !has_image_ending(name);
}

std::vector<std::string> picture_files(const std::string& folder) {
  constexpr int deepest = 32;  // a link may lead back to a folder above
  std::vector<std::string> pictures;
  std::vector<std::pair<std::string, int>> folders{{folder, 0}};
  while (!folders.empty()) {
    const auto [place, depth] = folders.back();
    folders.pop_back();
    if (fs::exists(place + "/config.json") && fs::exists(place + "/last.safetensors")) continue;  // a run
    for (const std::string& name : file_names(place))
      if (has_image_ending(name) || is_unread_picture(name)) pictures.push_back(place + "/" + name);
    if (depth < deepest)
      for (const std::string& name : folder_names(place)) folders.emplace_back(place + "/" + name, depth + 1);
  }
  std::sort(pictures.begin(), pictures.end());
  return pictures;
}

}  // namespace fovea
