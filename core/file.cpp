#include "core/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>

#include "core/error.h"

namespace fovea {
namespace {

class Descriptor {
 public:
  Descriptor(const std::string& path, int flags, mode_t mode = 0)
      : number_(::open(path.c_str(), flags | O_CLOEXEC, mode)) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int number() const { return number_; }
  bool close() {
    const int result = ::close(number_);
    number_ = -1;
    return result == 0;
  }

 private:
  int number_;
};

std::string reason() { return std::strerror(errno); }

bool write_all(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    bytes.remove_prefix(size_t(written));
  }
  return true;
}

// Device and inode.
using FileIdentity = std::pair<dev_t, ino_t>;

std::optional<FileIdentity> identity_of(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return std::nullopt;
  return FileIdentity{status.st_dev, status.st_ino};
}

std::mutex protection;
std::map<FileIdentity, std::string> protected_files;

void require_file_unprotected(const std::string& path) {
  const auto identity = identity_of(path);
  if (!identity) return;
  const std::lock_guard lock(protection);
  const auto found = protected_files.find(*identity);
  if (found == protected_files.end()) return;
  if (identity_of(found->second) == identity)
    fail("{} is an input of this program and would be overwritten: write the output elsewhere", path);
  protected_files.erase(found);  // it was removed, and another file has its inode now
}

// The system would cut the name there and open a different file.
bool has_zero_byte(const std::string& path) { return path.find('\0') != path.npos; }

}  // namespace

std::string read_file(const std::string& path) {
  const Descriptor file(path, O_RDONLY);
  require(file.number() >= 0, "{} cannot be read: {}", path, reason());
  struct stat status {};
  require(::fstat(file.number(), &status) == 0, "{} cannot be read: {}", path, reason());
  require(!S_ISDIR(status.st_mode), "{} is a folder: expected a file", path);
  std::string content(size_t(status.st_size), '\0');
  size_t have = 0;
  for (;;) {
    if (have == content.size()) content.resize(have + 4096);  // a pipe, or a file that grew
    const ssize_t got = ::read(file.number(), content.data() + have, content.size() - have);
    if (got < 0 && errno == EINTR) continue;
    require(got >= 0, "{} cannot be read: {}", path, reason());
    if (got == 0) break;
    have += size_t(got);
  }
  content.resize(have);
  return content;
}

MappedFile::MappedFile(const std::string& path) {
  const Descriptor file(path, O_RDONLY);
  require(file.number() >= 0, "{} cannot be read: {}", path, reason());
  struct stat status {};
  require(::fstat(file.number(), &status) == 0, "{} cannot be read: {}", path, reason());
  require(!S_ISDIR(status.st_mode), "{} is a folder: expected a file", path);
  if (status.st_size == 0) return;  // an empty file cannot be mapped
  void* address = ::mmap(nullptr, size_t(status.st_size), PROT_READ, MAP_PRIVATE, file.number(), 0);
  require(address != MAP_FAILED, "{} cannot be mapped into memory: {}", path, reason());
  content_ = {static_cast<const char*>(address), size_t(status.st_size)};
}

MappedFile::~MappedFile() {
  if (!content_.empty()) ::munmap(const_cast<char*>(content_.data()), content_.size());
}

void write_file_atomically(const std::string& path, std::span<const std::string_view> parts) {
  const std::string temporary = path + ".part";
  for (const std::string& name : {path, temporary}) require_file_unprotected(name);
  const auto give_up = [&](const std::string& why) {
    ::unlink(temporary.c_str());
    fail("{} cannot be written: {}; its previous content is unchanged", path, why);
  };
  Descriptor file(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  require(file.number() >= 0, "{} cannot be written: {}", path, reason());
  for (const std::string_view part : parts)
    if (!write_all(file.number(), part)) give_up(reason());
  if (::fsync(file.number()) != 0 && errno != EINVAL && errno != EROFS) give_up(reason());
  if (!file.close()) give_up(reason());
  if (::rename(temporary.c_str(), path.c_str()) != 0) give_up(reason());
  // Flush the directory entry as well: without it a power failure could bring the old file back.
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const Descriptor directory(folder.empty() ? "." : folder, O_RDONLY | O_DIRECTORY);
  if (directory.number() >= 0) ::fsync(directory.number());
}

void write_file_atomically(const std::string& path, std::string_view content) {
  write_file_atomically(path, std::span(&content, 1));
}

void protect_files(std::span<const std::string> paths) {
  const std::lock_guard lock(protection);
  for (const std::string& path : paths)
    if (const auto identity = identity_of(path)) protected_files[*identity] = path;
}

void require_unprotected(const std::string& path) {
  require_file_unprotected(path);
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(path, error))
    require_file_unprotected(entry.path().string());
}

FileLock::FileLock(const std::string& path, const std::string& what)
    : descriptor_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
  require(descriptor_ >= 0, "{} cannot be written: {}", path, reason());
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) == 0) {
    const std::string owner = std::to_string(::getpid()) + "\n";
    [[maybe_unused]] const bool written =
        ::ftruncate(descriptor_, 0) == 0 && write_all(descriptor_, owner);  // for the message below only
  } else if (errno == EWOULDBLOCK) {
    ::close(descriptor_);
    std::string owner = read_file(path);
    owner = owner.substr(0, owner.find('\n'));
    fail("{} is in use by another process{}: wait until it ends, or stop it", what,
         owner.empty() ? "" : ", " + owner);
  }
}

FileLock::~FileLock() { ::close(descriptor_); }

std::string found_instead(std::string_view content) {
  if (content.starts_with("version https://git-lfs.github.com/spec/"))
    return "it is a Git LFS pointer, not the file itself: run `git lfs pull` in its clone";
  std::string start(content.substr(0, 200));
  start.erase(0,
              std::min(start.find('<'), start.size()));  // white space and a byte-order mark may come before
  std::transform(start.begin(), start.end(), start.begin(), [](unsigned char c) { return std::tolower(c); });
  if (start.starts_with("<!doctype html") || start.starts_with("<html"))
    return "it is a web page, downloaded instead of the file: open its address in a browser";
  return "";
}

bool path_exists(const std::string& path) {
  std::error_code error;
  return !has_zero_byte(path) && std::filesystem::exists(path, error);
}

bool is_file(const std::string& path) {
  std::error_code error;
  return !has_zero_byte(path) && std::filesystem::is_regular_file(path, error);
}

bool is_folder(const std::string& path) {
  std::error_code error;
  return !has_zero_byte(path) && std::filesystem::is_directory(path, error);
}

void create_folder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  require(!error, "the folder {} cannot be created: {}", path, error.message());
}

}  // namespace fovea
