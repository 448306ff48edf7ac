#include "train/data/files/find_file.h"

#include <catch2/catch.hpp>

#include "core/file.h"
#include "tests/support/test_data.h"

using namespace fovea;

TEST_CASE("a path of another machine refers to its longest tail that exists") {
  const TemporaryFolder folder;
  for (const char* place : {"sub", "other"}) create_folder(folder / place);
  for (const char* name : {"sub/my photo.jpg", "other/b.jpg", "b.jpg", "caf\xE9.jpg"})
    write_file_atomically(folder / name, "image");
  const auto find = [&](const std::string& path) {
    const auto found = find_path({folder / "other", folder.path()}, path, is_file);
    return found ? found->path.substr(folder.path().size() + 1) + (found->shortened ? " shortened" : "")
                 : "nothing";
  };
  CHECK(find("sub/my photo.jpg") == "sub/my photo.jpg");
  CHECK(find("sub\\my photo.jpg") == "sub/my photo.jpg");
  CHECK(find("sub/my%20photo.jpg") == "sub/my photo.jpg");
  CHECK(find("D:\\data\\sub\\my photo.jpg") == "sub/my photo.jpg shortened");
  CHECK(find("file:///home/x/sub/my%20photo.jpg") == "sub/my photo.jpg shortened");
  CHECK(find("../../sub/my photo.jpg") == "sub/my photo.jpg");
  CHECK(find(folder / "b.jpg") == "b.jpg");
  CHECK(find("b.jpg") == "other/b.jpg");  // the first folder's
  CHECK(find("/elsewhere/b.jpg") == "other/b.jpg shortened");
  CHECK(find("caf\\xE9.jpg") == "caf\xE9.jpg");
  CHECK(find("sub") == "nothing");  // a folder is not a file
  for (const char* path : {"", "/", "..", "c.jpg", "%", "%zz", "D:\\"}) CHECK(find(path) == "nothing");
  CHECK(stem_of_path("D:\\images\\a.b.jpg") == "a.b");
}
