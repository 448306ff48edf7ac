#pragma once
#include <span>
#include <string>
#include <string_view>

namespace fovea {

// Returns the whole content of a file. Throws Error naming the path and the system's reason.
std::string read_file(const std::string& path);

// A file's content mapped into memory: pages are read from the disk when they are touched. If the file is
// truncated meanwhile, the program dies of SIGBUS; renaming another file over it, as write_file_atomically
// does, is safe.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);  // throws as read_file does, and if mapping fails
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  std::string_view content() const { return content_; }

 private:
  std::string_view content_;
};

// Replaces the content of `path` with all `parts` in order, or leaves it as it was: writes a temporary file
// beside it, flushes that to the disk (fsync) and renames it over `path`. On any failure (disk full, no
// permission) it removes the temporary file and throws Error naming the path and the system's reason.
void write_file_atomically(const std::string& path, std::span<const std::string_view> parts);
void write_file_atomically(const std::string& path, std::string_view content);

// Protects files that a program reads and must not lose: from now on write_file_atomically() refuses to
// replace them under any name or link (they are identified by device and inode). Names of files that do not
// exist are ignored.
void protect_files(std::span<const std::string> paths);

// Throws Error if `path`, or a file directly in the folder `path`, is protected. Programs call it before long
// work, to check that they may write there.
void require_unprotected(const std::string& path);

// A lock on what a file stands for, held while the object lives; the system releases it when the process
// ends, however it ends. The file holds the owner's process id and stays behind, without meaning.
class FileLock {
 public:
  // Creates the file. Throws Error, which names `what` and the process, if another process holds the lock; on
  // a file system without locks, nothing is locked.
  FileLock(const std::string& path, const std::string& what);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int descriptor_;
};

// If the content is a Git LFS pointer or a web page, which downloads and clones leave in place of large
// files, returns a clause for an error message that says so, and otherwise an empty string.
std::string found_instead(std::string_view content);

// Whether something, a file, or a folder exists under this name. Also false where the system cannot answer:
// the name is too long or has a zero byte, or a folder above it may not be searched. Names that come from
// files must not end the program.
bool path_exists(const std::string& path);
bool is_file(const std::string& path);
bool is_folder(const std::string& path);

// Creates a folder and those above it. Throws Error naming the path and the reason.
void create_folder(const std::string& path);

}  // namespace fovea
