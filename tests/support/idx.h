#pragma once
#include <string>

namespace fovea {

// The content of an IDX file: a header with these sizes, each one character, and the bytes.
inline std::string idx(const std::string& sizes, const std::string& bytes) {
  using namespace std::string_literals;
  std::string file = "\0\0\x08"s + char(sizes.size());
  for (const char size : sizes) file += "\0\0\0"s + size;
  return file + bytes;
}

}  // namespace fovea
