#pragma once
#include <string>
#include <vector>

namespace fovea {

// The names that go with the outputs of published weights: COCO's 90 ids of which 80 are used (the others are
// "unused 12" and the like), ImageNet's 1000, and for other counts "class 0", "class 1", ...
std::vector<std::string> published_class_names(bool detector, size_t classes);

// Reads one name per line, `classes` of them; lines that begin with # are skipped. Throws Error naming the
// file if their number is another.
std::vector<std::string> read_class_names(const std::string& path, size_t classes);

}  // namespace fovea
