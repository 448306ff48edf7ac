#pragma once
#include <set>
#include <string>
#include <vector>

namespace fovea {

// A name for what is made of each file, without an ending and never one twice: the file's own name without
// its ending, the whole of it where others differ only in theirs (a.jpg, a.png), a number behind it where
// that is taken, too. Folders in the names are kept.
std::vector<std::string> result_names(const std::vector<std::string>& files);

// A sentence about files in a folder and below it that are not among those `written`, which are named from
// there: an earlier run left them among the new ones. Empty where there are none.
std::string left_from_before(const std::string& folder, const std::set<std::string>& written);

}  // namespace fovea
