#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace fovea {

// A file that grows by whole pieces: each append reaches the system at once, so it survives when the program
// is killed.
class AppendFile {
 public:
  // Opens the file at its end, and creates it if necessary. Throws Error naming the path and the system's
  // reason.
  explicit AppendFile(const std::string& path);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  // Appends all of `bytes`, or nothing: if the disk is full, it removes the part that was written and throws
  // Error.
  void append(std::string_view bytes);

 private:
  std::string path_;
  int descriptor_;
  int64_t size_ = 0;
};

}  // namespace fovea
