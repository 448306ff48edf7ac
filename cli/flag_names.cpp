#include "cli/flag_names.h"

#include <algorithm>
#include <iterator>
#include <map>

#include "core/utf8.h"
#include "train/loop/config.h"

namespace fovea {
namespace {

// Arguments of library functions that are not fields of TrainConfig, and the flags that set them.
constexpr std::pair<const char*, const char*> arguments[] = {
    {"augment", "--augment"},               // test_time_flips()
    {"class_names_file", "--class-names"},  // ModelFile
    {"classes", "--classes"},               // StepTiming
    {"folder", "--run"},                    // start_run() and continue_run()
    {"limit", "--memory"},                  // largest_batch()
    {"split", "--split"},                   // open_classification_split()
};

std::map<std::string, std::string> all_flags() {
  std::map<std::string, std::string> flags(std::begin(arguments), std::end(arguments));
  const TrainConfig config;
  for_each_field(config, [&](const char* name, const auto&, const char*) { flags[name] = flag_of(name); });
  return flags;
}

}  // namespace

std::string flag_of(std::string field) {
  std::replace(field.begin(), field.end(), '_', '-');
  return "--" + field;
}

std::string with_flags(const std::string& text) {
  static const std::map<std::string, std::string> flags = all_flags();
  std::string result;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text[at] == '`' ? text.find('`', at + 1) : std::string::npos;
    const auto flag = end == std::string::npos ? flags.end() : flags.find(text.substr(at + 1, end - at - 1));
    if (flag == flags.end()) {
      result += text[at++];
    } else {
      result += flag->second;
      at = end + 1;
    }
  }
  return escape_bytes(result);
}

}  // namespace fovea
