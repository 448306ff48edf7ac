#include "train/report/result_names.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "core/error.h"

namespace fovea {

namespace fs = std::filesystem;

std::vector<std::string> result_names(const std::vector<std::string>& files) {
  const auto stem = [](const std::string& file) { return fs::path(file).replace_extension().string(); };
  std::map<std::string, int> stems;
  for (const std::string& file : files) ++stems[stem(file)];
  std::set<std::string> taken;
  std::vector<std::string> names;
  for (const std::string& file : files) {
    const std::string wanted = stems[stem(file)] == 1 ? stem(file) : file;
    names.push_back(wanted);
    for (int i = 2; !taken.insert(names.back()).second; ++i) names.back() = fmt::format("{}_{}", wanted, i);
  }
  return names;
}

std::string left_from_before(const std::string& folder, const std::set<std::string>& written) {
  std::vector<std::string> others;
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(folder, error)) {
    const std::string name = entry.path().lexically_relative(folder).string();
    if (!entry.is_directory(error) && !written.contains(name)) others.push_back(name);
  }
  if (others.empty()) return "";
  return fmt::format("{} also holds {} file{} that {} not written now, such as {}", folder, others.size(),
                     others.size() == 1 ? "" : "s", others.size() == 1 ? "was" : "were",
                     *std::min_element(others.begin(), others.end()));
}

}  // namespace fovea
