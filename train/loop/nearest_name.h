#pragma once
#include <string>
#include <vector>

namespace fovea {

// The one of `names` with the smallest Levenshtein distance to `word`, or the first of several such; for "did
// you mean ...?". Throws Error if `names` is empty.
std::string nearest_name(const std::string& word, const std::vector<std::string>& names);

}  // namespace fovea
