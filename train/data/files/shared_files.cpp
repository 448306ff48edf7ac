#include "train/data/files/shared_files.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string_view>

#include "core/error.h"
#include "core/file.h"

namespace fovea {
namespace {

uintmax_t size_of(const std::string& file) {
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(file, error);
  return error ? 0 : size;
}

bool same_bytes(const std::string& a, const std::string& b) {
  std::error_code error;
  if (std::filesystem::equivalent(a, b, error)) return true;
  try {
    return MappedFile(a).content() == MappedFile(b).content();
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

std::vector<std::pair<std::string, std::string>> shared_files(const std::vector<std::string>& a,
                                                              const std::vector<std::string>& b) {
  std::multimap<uintmax_t, const std::string*> by_size;
  for (const std::string& file : a)
    if (const uintmax_t size = size_of(file); size > 0) by_size.emplace(size, &file);
  std::vector<std::pair<std::string, std::string>> shared;
  for (const std::string& file : b) {
    auto [other, end] = by_size.equal_range(size_of(file));
    while (other != end && !same_bytes(*other->second, file)) ++other;
    if (other != end) shared.emplace_back(*other->second, file);
  }
  return shared;
}

void warn_of_shared_files(const std::vector<std::string>& train, const std::vector<std::string>& validation,
                          std::vector<std::string>& warnings) {
  const auto shared = shared_files(train, validation);
  if (shared.empty()) return;
  warnings.insert(warnings.begin(),
                  fmt::format("{} of the {} validation images are also training images, so the figures are "
                              "too good; the first is {}, the same as {}",
                              shared.size(), validation.size(), shared.front().second, shared.front().first));
}

}  // namespace fovea
