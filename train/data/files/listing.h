#pragma once
#include <string>
#include <vector>

namespace fovea {

// The names of the files of a folder that end in `ending` ("": all names), sorted; none if there is no such
// folder. Names that begin with a dot, and __MACOSX, are left out: systems keep their own files under them.
// Throws Error if the folder cannot be read.
std::vector<std::string> file_names(const std::string& folder, const std::string& ending = "");

// The same for the folders in a folder.
std::vector<std::string> folder_names(const std::string& folder);

// Whether the name has the extension of a picture format that read_image() does not read.
bool is_unread_picture(const std::string& name);

// The pictures in a folder and the folders in it, to any depth, by their extensions, both those that are read
// and those that are not. Sorted, without the folders that file_names() leaves out.
std::vector<std::string> picture_files(const std::string& folder);

}  // namespace fovea
