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

// Files that a program reads and must not lose: from here on write_file_atomically() refuses to replace
// them, whatever name or link leads to them (they are known by device and inode). Names of files that do not
// exist are ignored.
void protect_files(std::span<const std::string> paths);

// Throws Error where `path`, or a file directly in the folder `path`, is a protected file: for those who ask
// before a long work whether they may write there.
void require_unprotected(const std::string& path);

// A lock on what a file stands for, held while the object lives: the system takes it away when the process
// ends, however it ends. The file holds the owner's process id and is left behind, which means nothing.
class FileLock {
 public:
  // Makes the file. Throws Error, which names `what` and the process, where another holds the lock; where the
  // file system knows no locks, there is none.
  FileLock(const std::string& path, const std::string& what);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int descriptor_;
};

// What a file is that is not what was expected, in a clause for a message, for kinds that downloads and
// clones leave in the place of large files: a Git LFS pointer, a web page. Empty where it is neither.
std::string found_instead(std::string_view content);

// Whether something, a file, or a folder is there under this name. False too where the system will not say: a
// name that is too long or has a zero byte, a folder above it that may not be searched. Names that come out
// of files must not end the program.
bool path_exists(const std::string& path);
bool is_file(const std::string& path);
bool is_folder(const std::string& path);

// Makes a folder and those above it. Throws Error naming the path and the reason.
void create_folder(const std::string& path);

}  // namespace fovea
