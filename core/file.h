#pragma once
#include <span>
#include <string>
#include <string_view>

namespace fovea {

// The whole content of a file. Throws Error naming the path and the system's reason.
std::string read_file(const std::string& path);

// A file's content mapped into memory: pages come from the disk as they are touched. If the file
// is cut short meanwhile, the program dies of SIGBUS; renaming another over it, as write_file_atomically
// does, is safe.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);  // throws as read_file does, and on what cannot be mapped
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  std::string_view content() const { return content_; }

 private:
  std::string_view content_;
};

// Gives `path` the content of all `parts` after one another, or leaves it as it was: a temporary file beside
// it is written, flushed to the disk (fsync) and renamed over it. On any failure (disk full, no permission)
// the temporary file is removed and Error thrown, naming the path and the system's reason.
void write_file_atomically(const std::string& path, std::span<const std::string_view> parts);
void write_file_atomically(const std::string& path, std::string_view content);

// Whether something, a file, or a folder is there under this name. False too where the system will not say: a
// name that is too long or has a zero byte, a folder above it that may not be searched. Names that come out
// of files must not end the program.
bool path_exists(const std::string& path);
bool is_file(const std::string& path);
bool is_folder(const std::string& path);

// Makes a folder and those above it. Throws Error naming the path and the reason.
void create_folder(const std::string& path);

}  // namespace fovea
