#include "core/file.h"

#include <sys/resource.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>

#include "core/error.h"
#include "tests/support/test_data.h"

using namespace fovea;
using Catch::Contains;

namespace {

// While one lives, no file can grow beyond `bytes`: to a writer that is a full disk, on any machine.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &previous_);
    const rlimit limit{bytes, previous_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    handler_ =
        std::signal(SIGXFSZ, SIG_IGN);  // so that write() fails with EFBIG instead of ending the program
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &previous_);
    std::signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit previous_{};
  void (*handler_)(int) = nullptr;
};

size_t files_in(const std::string& folder) {
  return size_t(
      std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator{}));
}

}  // namespace

TEST_CASE("what is written is read back, bytes of any value and of any length") {
  const TemporaryFolder folder;
  for (const size_t size : {size_t(0), size_t(1), size_t(4096), size_t(100001)}) {
    std::string content(size, '\0');
    for (size_t i = 0; i < size; ++i) content[i] = char(i * 7);
    write_file_atomically(folder / "bytes", content);
    CHECK(read_file(folder / "bytes") == content);
  }
  CHECK(files_in(folder.path()) == 1);
}

TEST_CASE("the parts of a file follow one another") {
  const TemporaryFolder folder;
  const std::vector<std::string_view> parts = {"head ", "", "body ", "tail"};
  write_file_atomically(folder / "parts", parts);
  CHECK(read_file(folder / "parts") == "head body tail");
}

TEST_CASE("a write that fails leaves the old content and no temporary file, and says why") {
  const TemporaryFolder folder;
  write_file_atomically(folder / "checkpoint", "the old content");
  {
    const FileSizeLimit limit(1 << 16);
    const std::string big(1 << 20, 'x');
    CHECK_THROWS_WITH(write_file_atomically(folder / "checkpoint", big),
                      Contains(folder / "checkpoint") && Contains("cannot be written: File too large") &&
                          Contains("its previous content is unchanged"));
  }
  CHECK(read_file(folder / "checkpoint") == "the old content");
  CHECK(files_in(folder.path()) == 1);
  write_file_atomically(folder / "checkpoint", "the new content");
  CHECK(read_file(folder / "checkpoint") == "the new content");
}

TEST_CASE("files that cannot be read or written are named with the reason") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH(read_file(folder / "missing.json"),
                    Contains("missing.json cannot be read: No such file or directory"));
  CHECK_THROWS_WITH(read_file(folder.path()), Contains("is a folder: expected a file"));
  CHECK_THROWS_WITH(write_file_atomically(folder / "no/such/folder", "x"),
                    Contains("no/such/folder cannot be written: No such file or directory"));
  create_folder(folder / "taken");
  CHECK_THROWS_WITH(write_file_atomically(folder / "taken", "x"),
                    Contains("taken cannot be written: Is a directory"));
  CHECK(files_in(folder.path()) == 1);
}

TEST_CASE("a folder is made with those above it, and may be there already") {
  const TemporaryFolder folder;
  create_folder(folder / "a/b/c");
  create_folder(folder / "a/b/c");
  CHECK(std::filesystem::is_directory(folder / "a/b/c"));
  write_file_atomically(folder / "file", "x");
  CHECK_THROWS_WITH(create_folder(folder / "file"), Contains("cannot be created: Not a directory"));
  CHECK_THROWS_WITH(create_folder(folder / "file/below"),
                    Contains("file/below cannot be created: Not a directory"));
}

TEST_CASE("any text can be checked for being the name of a file") {
  const TemporaryFolder folder;
  write_file_atomically(folder / "file", "x");
  CHECK((path_exists(folder / "file") && is_file(folder / "file") && !is_folder(folder / "file")));
  CHECK((path_exists(folder.path()) && !is_file(folder.path()) && is_folder(folder.path())));
  const std::string none[] = {"",
                              folder / "none",
                              folder / std::string(300, 'a'),
                              folder / "file/below",
                              folder / std::string("file\0", 5),
                              folder / std::string(1, '\0')};
  for (const std::string& name : none) CHECK_FALSE((path_exists(name) || is_file(name) || is_folder(name)));
}

TEST_CASE("a file that is read is not overwritten, under any name") {
  const TemporaryFolder folder;
  namespace fs = std::filesystem;
  for (const char* name : {"photo.jpg", "gone.jpg", "x.part"}) write_file_atomically(folder / name, name);
  fs::create_hard_link(folder / "photo.jpg", folder / "hard.jpg");
  fs::create_symlink(folder / "photo.jpg", folder / "soft.jpg");
  protect_files(std::vector{folder / "photo.jpg", folder / "gone.jpg", folder / "x.part", folder / "none"});
  for (const char* name : {"photo.jpg", "hard.jpg", "soft.jpg", "./photo.jpg"}) {
    CAPTURE(name);
    CHECK_THROWS_WITH(write_file_atomically(folder / name, "result"),
                      Contains("is an input of this program and would be overwritten"));
    CHECK_THROWS(require_unprotected(folder / name));
  }
  CHECK_THROWS(write_file_atomically(folder / "x", "result"));  // through x.part
  CHECK_THROWS(require_unprotected(folder.path()));
  CHECK(read_file(folder / "photo.jpg") == "photo.jpg");
  write_file_atomically(folder / "other.jpg", "result");
  require_unprotected(folder / "nowhere");

  // A file that has the inode of a removed one is not mistaken for it.
  fs::rename(folder / "gone.jpg", folder / "other.jpg");
  write_file_atomically(folder / "other.jpg", "result");
}

TEST_CASE("one process holds a lock, and the error names it") {
  const TemporaryFolder folder;
  {
    const FileLock lock(folder / "lock", "the run");
    CHECK_THROWS_WITH(
        FileLock(folder / "lock", "the run"),
        fmt::format("the run is in use by another process, {}: wait until it ends, or stop it", ::getpid()));
  }
  const FileLock again(folder / "lock", "the run");
  CHECK_THROWS_WITH(FileLock(folder / "no/lock", "the run"), Contains("no/lock cannot be written"));
}

TEST_CASE("what downloads and clones leave in place of a file is recognised") {
  CHECK_THAT(found_instead("version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 9\n"),
             Contains("Git LFS pointer"));
  for (const char* page : {"<!DOCTYPE html><html>", "\n  <html lang=\"en\">", "\xEF\xBB\xBF<!doctype HTML>"})
    CHECK_THAT(found_instead(page), Contains("web page"));
  for (const char* other : {"", "{}", "<svg>", "<?xml version='1.0'?><annotation>"})
    CHECK(found_instead(other).empty());
}
