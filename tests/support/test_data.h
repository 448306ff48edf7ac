#pragma once
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

namespace fovea {

// A file or folder of the shared test data: in $FOVEA_TEST_DATA, or beside the project in ../shared/data.
// Nothing if neither has it: the test then says so with WARN and checks only its own small fixtures.
inline std::optional<std::string> test_data(const std::string& name) {
  const char* chosen = std::getenv("FOVEA_TEST_DATA");
  for (const std::string& folder :
       {std::string(chosen ? chosen : ""), std::string(FOVEA_SOURCE_DIR) + "/../shared/data"}) {
    std::error_code error;
    if (!folder.empty() && std::filesystem::exists(folder + "/" + name, error)) return folder + "/" + name;
  }
  return std::nullopt;
}

// A fresh folder for a test's files, removed at the end of the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "fovea-test-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryFolder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace fovea
