#include "train/data/files/find_file.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <filesystem>

#include "core/utf8.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

std::string with_slashes(std::string path) {
  std::replace(path.begin(), path.end(), '\\', '/');
  const bool drive = path.size() > 2 && path[1] == ':' && path[2] == '/';
  return drive ? path.substr(2) : path;
}

// RFC 3986, section 2.1.
std::string percent_decoded(const std::string& text) {
  std::string result;
  for (size_t at = 0; at < text.size(); ++at) {
    const char* digits = text.data() + at + 1;
    uint8_t byte = 0;
    if (text[at] == '%' && at + 3 <= text.size() &&
        std::from_chars(digits, digits + 2, byte, 16).ptr == digits + 2)
      result += char(byte), at += 2;
    else
      result += text[at];
  }
  return result;
}

std::vector<std::string> spellings(const std::string& path) {
  std::vector<std::string> all;
  for (const std::string& spelling :
       {path, unescape_bytes(path), with_slashes(path), percent_decoded(with_slashes(path))})
    if (std::find(all.begin(), all.end(), spelling) == all.end()) all.push_back(spelling);
  return all;
}

}  // namespace

std::optional<FoundPath> find_path(const std::vector<std::string>& folders, const std::string& path,
                                   bool (*there)(const std::string&)) {
  constexpr size_t most_parts = 16;
  if (path.empty()) return std::nullopt;
  std::vector<std::vector<fs::path>> tails;  // the parts of each spelling
  for (const std::string& spelling : spellings(path)) {
    const bool absolute = fs::path(spelling).is_absolute();
    if (absolute && there(spelling)) return FoundPath{fs::path(spelling).lexically_normal().string()};
    for (const std::string& folder : folders)
      if (const fs::path whole = fs::path(folder) / spelling; !absolute && there(whole.string()))
        return FoundPath{whole.lexically_normal().string()};
    const fs::path relative = fs::path(spelling).relative_path().lexically_normal();
    tails.emplace_back(relative.begin(), relative.end());
  }
  for (size_t count = most_parts; count > 0; --count)
    for (const auto& parts : tails)
      for (const std::string& folder : folders) {
        if (parts.size() < count) continue;
        fs::path tail = folder;
        for (size_t i = parts.size() - count; i < parts.size(); ++i) tail /= parts[i];
        if (!there(tail.string())) continue;
        const bool shortened = count < parts.size() && parts[parts.size() - count - 1] != "..";
        return FoundPath{tail.lexically_normal().string(), shortened};
      }
  return std::nullopt;
}

std::string stem_of_path(const std::string& path) { return fs::path(with_slashes(path)).stem().string(); }

}  // namespace fovea
