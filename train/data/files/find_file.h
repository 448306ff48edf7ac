#pragma once
#include <optional>
#include <string>
#include <vector>

namespace fovea {

// The file or folder that a path in an annotation file refers to.
struct FoundPath {
  std::string path;
  bool shortened = false;  // leading folders were left out
};

// Looks for a path, which may be from another machine, in each of the folders: as it is, also if it is
// absolute; with a backslash for a slash, a drive letter (D:), %20 for a blank, `\xE9` for a byte; and then
// without its leading folders, which it leaves out one by one until the path exists. `there` decides what
// exists: path_exists, is_file or is_folder. Returns nothing if no path does.
std::optional<FoundPath> find_path(const std::vector<std::string>& folders, const std::string& path,
                                   bool (*there)(const std::string&));

// The last part of a path in any machine's spelling, without its extension: "D:\\images\\a.b.jpg" gives
// "a.b".
std::string stem_of_path(const std::string& path);

}  // namespace fovea
