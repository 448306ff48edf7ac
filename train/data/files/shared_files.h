#pragma once
#include <string>
#include <utility>
#include <vector>

namespace fovea {

// The files of `b` whose bytes are those of one of `a`, each behind that one; files that cannot be read are
// none.
std::vector<std::pair<std::string, std::string>> shared_files(const std::vector<std::string>& a,
                                                              const std::vector<std::string>& b);

// A sentence in front of the warnings where what is measured on was learned.
void warn_of_shared_files(const std::vector<std::string>& train, const std::vector<std::string>& validation,
                          std::vector<std::string>& warnings);

}  // namespace fovea
