#pragma once
#include <set>
#include <string>
#include <vector>

namespace fovea {

// A unique name for the result of each file, without an extension: the file's name without its extension, the
// whole name if others differ only in the extension (a.jpg, a.png), followed by a number if that is also
// taken. Folders in the names are kept.
std::vector<std::string> result_names(const std::vector<std::string>& files);

// A sentence about files in a folder and below it that are not among those `written`, which are relative to
// the folder: an earlier run left them among the new ones. Empty if there are none.
std::string left_from_before(const std::string& folder, const std::set<std::string>& written);

}  // namespace fovea
