#pragma once
#include <string>
#include <vector>

namespace fovea {

// The one of `names` that is the fewest letters away from `word` (Levenshtein's distance: letters put in,
// left out or changed), the first of them where several are; for "did you mean ...?". Throws Error where
// `names` is empty.
std::string nearest_name(const std::string& word, const std::vector<std::string>& names);

}  // namespace fovea
