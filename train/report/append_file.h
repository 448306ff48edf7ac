#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace fovea {

// A file that grows by whole pieces: each append reaches the system at once, so it outlives a killed program.
class AppendFile {
 public:
  // Opens the file at its end, made where it is not there. Throws Error naming the path and the system's
  // reason.
  explicit AppendFile(const std::string& path);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  // All of `bytes`, or nothing: where the disk is full what was written of them is taken back and Error
  // thrown.
  void append(std::string_view bytes);

 private:
  std::string path_;
  int descriptor_;
  int64_t size_ = 0;
};

}  // namespace fovea
