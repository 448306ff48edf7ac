#pragma once
#include <optional>
#include <string>
#include <vector>

namespace fovea {

// Where a path of an annotation file leads.
struct FoundPath {
  std::string path;
  bool shortened = false;  // leading folders were left out
};

// Looks for a path, which may be of another machine, in each of the folders: as it is, also where it is
// absolute; with a backslash for a slash, a drive letter (D:), %20 for a blank, `\xE9` for a byte; and then
// without its leading folders, of which one after another is left out until it leads somewhere. `there` says
// what counts: path_exists, is_file or is_folder. Nothing where it never does.
std::optional<FoundPath> find_path(const std::vector<std::string>& folders, const std::string& path,
                                   bool (*there)(const std::string&));

// The last part of a path in any machine's spelling, without its ending: "D:\\images\\a.b.jpg" gives "a.b".
std::string stem_of_path(const std::string& path);

}  // namespace fovea
