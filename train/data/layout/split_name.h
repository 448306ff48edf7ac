#pragma once
#include <string>

namespace fovea {

// One name for the split that tools call val, valid or validation.
inline std::string split_name(const std::string& name) {
  return name == "valid" || name == "validation" ? "val" : name;
}

// The split of a data set that has no others.
inline constexpr const char* only_split = "all";

}  // namespace fovea
