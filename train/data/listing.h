#pragma once
#include <string>
#include <vector>

namespace fovea {

// The names of the files of a folder that end in `ending` (all with ""), sorted; of a folder that is not
// there, none. Names that begin with a dot are what the system keeps for itself and are left out. Throws
// Error where the folder cannot be read.
std::vector<std::string> file_names(const std::string& folder, const std::string& ending = "");

// The names of the folders in a folder, likewise.
std::vector<std::string> folder_names(const std::string& folder);

}  // namespace fovea
