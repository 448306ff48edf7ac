#include "train/report/append_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/error.h"

namespace fovea {

AppendFile::AppendFile(const std::string& path)
    : path_(path), descriptor_(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) {
  require(descriptor_ >= 0, "{} cannot be written: {}", path_, std::strerror(errno));
  size_ = ::lseek(descriptor_, 0, SEEK_END);
}

AppendFile::~AppendFile() { ::close(descriptor_); }

void AppendFile::append(std::string_view bytes) {
  std::string_view left = bytes;
  while (!left.empty()) {
    const ssize_t written = ::write(descriptor_, left.data(), left.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      const std::string reason = std::strerror(errno);
      // Nothing is lost if this also fails: the readers of both formats leave out a last piece that is cut
      // short.
      [[maybe_unused]] const int result = ::ftruncate(descriptor_, size_);
      fail("{} cannot be written: {}; what it had before is kept", path_, reason);
    }
    left.remove_prefix(size_t(written));
  }
  size_ += int64_t(bytes.size());
}

}  // namespace fovea
