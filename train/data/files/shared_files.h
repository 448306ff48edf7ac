#pragma once
#include <string>
#include <utility>
#include <vector>

namespace fovea {

// Pairs of a file of `a` and a file of `b` with the same bytes; files that cannot be read are skipped.
std::vector<std::pair<std::string, std::string>> shared_files(const std::vector<std::string>& a,
                                                              const std::vector<std::string>& b);

// Puts a sentence in front of the warnings if validation images are also training images.
void warn_of_shared_files(const std::vector<std::string>& train, const std::vector<std::string>& validation,
                          std::vector<std::string>& warnings);

}  // namespace fovea
