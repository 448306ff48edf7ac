#pragma once
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "core/error.h"

// Shared code of the harnesses. Each defines LLVMFuzzerTestOneInput (https://llvm.org/docs/LibFuzzer.html)
// and gives the bytes to one parser as the content of a file. Whatever the bytes are, the parser must return
// a result or throw an Error with a readable sentence; any other exception, a crash, a sanitizer report or an
// endless loop is a finding.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace fovea {

// Reports a finding if the condition does not hold.
inline void expect(bool condition) {
  if (!condition) std::abort();
}

template <class F>
void result_or_error(F&& parse) {
  try {
    parse();
  } catch (const Error& error) {
    expect(std::string_view(error.what()).find(' ') != std::string_view::npos);  // a sentence
  }
}

// A file in memory that every reader of paths can open.
class MemoryFile {
 public:
  MemoryFile() : descriptor_(::memfd_create("fuzz", MFD_CLOEXEC)) { expect(descriptor_ >= 0); }
  ~MemoryFile() { ::close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  void set(const uint8_t* data, size_t size) {
    expect(::ftruncate(descriptor_, 0) == 0 && ::pwrite(descriptor_, data, size, 0) == ssize_t(size));
  }
  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

// A folder of files, in memory if the system has such a place; removed when the program ends. Readers of data
// sets look for names in folders.
class FileFolder {
 public:
  FileFolder() {
    std::error_code error;
    const bool in_memory = std::filesystem::is_directory("/dev/shm", error);
    path_ = std::string(in_memory ? "/dev/shm" : "/tmp") + "/fovea-fuzz-XXXXXX";
    expect(::mkdtemp(path_.data()) != nullptr);
  }
  ~FileFolder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  FileFolder(const FileFolder&) = delete;
  FileFolder& operator=(const FileFolder&) = delete;

  void write(const std::string& name, const void* data, size_t size) const {
    const std::string file = *this / name;
    constexpr int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
    int descriptor = ::open(file.c_str(), flags, 0644);
    if (descriptor < 0) {
      std::filesystem::create_directories(std::filesystem::path(file).parent_path());
      descriptor = ::open(file.c_str(), flags, 0644);
    }
    expect(descriptor >= 0 && ::write(descriptor, data, size) == ssize_t(size));
    ::close(descriptor);
  }
  void write(const std::string& name, std::string_view text) const { write(name, text.data(), text.size()); }

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace fovea
