#include "train/data/image_folder.h"

#include <catch2/catch.hpp>
#include <filesystem>

#include "core/error.h"
#include "core/file.h"
#include "tests/support/test_data.h"

using namespace fovea;
using Catch::Contains;

namespace {

void write(const TemporaryFolder& folder, const std::string& name) {
  create_folder(std::filesystem::path(folder / name).parent_path());
  write_file_atomically(folder / name, "image");
}

}  // namespace

TEST_CASE("a folder for each class, in a stable order") {
  const TemporaryFolder folder;
  for (const char* name :
       {"dog/2.png", "dog/10.JPG", "cat/b.bmp", "cat/a.jpeg", "cat/.hidden.jpg", ".git/x.jpg", "readme.txt"})
    write(folder, name);
  const ClassificationDataset dataset = read_image_folder(folder.path());
  CHECK(dataset.name == folder.path());
  CHECK(dataset.class_names == std::vector<std::string>{"cat", "dog"});
  CHECK(dataset.warnings.empty());
  REQUIRE(dataset.images.size() == 4);
  const std::vector<std::string> expected{"cat/a.jpeg", "cat/b.bmp", "dog/10.JPG", "dog/2.png"};
  for (size_t i = 0; i < 4; ++i) {
    CHECK(dataset.images[i].file == folder / expected[i]);
    CHECK(dataset.images[i].label == int(i / 2));
  }
}

TEST_CASE("given classes decide labels; missing classes and files that are not images are warnings") {
  const TemporaryFolder folder;
  for (const char* name : {"dog/1.png", "cat/1.png", "cat/notes.txt", "cat/1.heic"}) write(folder, name);
  create_folder(folder / "bird");
  const ClassificationDataset dataset = read_image_folder(folder.path(), {"dog", "cow", "cat", "bird"});
  REQUIRE(dataset.images.size() == 2);
  CHECK(dataset.images[0].file == folder / "dog/1.png");
  CHECK(dataset.images[0].label == 0);
  CHECK(dataset.images[1].label == 2);
  REQUIRE(dataset.warnings.size() == 3);
  CHECK_THAT(dataset.warnings[0], Contains("has no folder of the class \"cow\""));
  CHECK_THAT(dataset.warnings[1], Contains("cat: 2 files are left out") && Contains("the first is 1.heic"));
  CHECK_THAT(dataset.warnings[2], Contains("bird holds no image"));
  write(folder, "bird/1.png");
  CHECK_THROWS_WITH(
      read_image_folder(folder.path(), {"dog", "cat"}),
      Contains("bird is a folder of the class \"bird\", which the model does not have: it has dog, cat"));
}

TEST_CASE("images in subfolders of a class belong to it, and folders without an image are not classes") {
  const TemporaryFolder folder;
  for (const char* name : {"cat/1.jpg", "cat/persian/2.jpg", "dog/3.jpg", "__MACOSX/cat/4.jpg"})
    write(folder, name);
  create_folder(folder / "empty");
  const ClassificationDataset dataset = read_image_folder(folder.path());
  CHECK(dataset.class_names == std::vector<std::string>{"cat", "dog"});
  CHECK(dataset.images.size() == 3);
  REQUIRE(dataset.warnings.size() == 1);
  CHECK_THAT(dataset.warnings[0], Contains("empty holds no image: it is not a class"));
  write(folder, "caf\xE9/5.jpg");
  CHECK(read_image_folder(folder.path()).class_names[0] == "caf\\xE9");
}

TEST_CASE("folders without images are errors that name the folder to give") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH(read_image_folder(folder / "none"), Contains("none is no folder"));
  CHECK_THROWS_WITH(read_image_folder(folder.path()),
                    Contains("holds no folders: expected one for each class"));
  create_folder(folder / "cat");
  CHECK_THROWS_WITH(read_image_folder(folder.path()), Contains("holds 1 folders, but no image in any"));
  write(folder, "train/cat/1.jpg");
  CHECK_THROWS_WITH(
      read_image_folder(folder.path()),
      Contains("holds no images, only folders of folders: give one of them, such as ") && Contains("/train"));
  CHECK(read_image_folder(folder / "train").images.size() == 1);
}
