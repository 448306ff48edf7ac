#pragma once
#include <string>
#include <vector>

namespace fovea {

// The names of the files of a folder that end in `ending` ("": all names), sorted; none where there is no
// such folder. Names that begin with a dot are left out: the system keeps its own files under them. Throws
// Error where the folder cannot be read.
std::vector<std::string> file_names(const std::string& folder, const std::string& ending = "");

// The same for the folders in a folder.
std::vector<std::string> folder_names(const std::string& folder);

}  // namespace fovea
