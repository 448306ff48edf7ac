#include "nn/io/json_depth.h"

#include "core/error.h"

namespace fovea {

void check_json_depth(std::string_view text, const std::string& source) {
  constexpr int deepest = 100;
  int depth = 0;
  bool in_string = false;
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (in_string) {
      if (c == '\\')
        ++at;  // an escaped quote does not end the string
      else if (c == '"')
        in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      require(++depth <= deepest,
              "{} has lists or objects more than {} deep in one another: no file of its kind needs that",
              source, deepest);
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
}

}  // namespace fovea
