#include "nn/io/json.h"

#include <cmath>

#include "core/error.h"
#include "core/file.h"
#include "core/utf8.h"

namespace fovea {
namespace {

void check_depth(std::string_view text, const std::string& source) {
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
              "{} has lists or objects nested more than {} deep: no file of its kind needs that", source,
              deepest);
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
}

template <class Json>
void escape_all(Json& value) {
  if (auto* text = value.template get_ptr<std::string*>()) *text = escape_bytes(*text);
  if (value.is_structured())
    for (Json& item : value) escape_all(item);
}

}  // namespace

nlohmann::json parse_json(std::string_view text, const std::string& source, const std::string& what,
                          const nlohmann::json::parser_callback_t& visit) {
  check_depth(text, source);
  try {
    return nlohmann::json::parse(text, visit);
  } catch (const nlohmann::json::exception& error) {
    if (const std::string found = found_instead(text); !found.empty())
      fail("{} is not {}: {}", source, what, found);
    constexpr size_t longest =
        300;  // the token at fault, which the reason quotes, may be as long as the file
    const std::string reason =
        error.what();  // "[json.exception.parse_error.101] parse error at line 1, column 4: ..."
    fail("{} is not {}: {} (NaN and Infinity are not JSON either)", source, what,
         reason.substr(reason.find(' ') + 1, longest));
  }
}

nlohmann::json plain_number(const nlohmann::json& value) {
  constexpr size_t longest = 40;
  constexpr double exact = double(int64_t(1) << 53);  // a double holds every whole number below it
  nlohmann::json number = value;
  if (const auto* text = value.get_ptr<const std::string*>(); text && text->size() <= longest)
    number = nlohmann::json::parse(*text, nullptr, false);
  if (!number.is_number()) return value;
  if (!number.is_number_float()) return number;
  const auto real = number.get<double>();
  return std::abs(real) <= exact && real == std::trunc(real) ? nlohmann::json(int64_t(real)) : number;
}

void escape_texts(nlohmann::json& value) { escape_all(value); }
void escape_texts(nlohmann::ordered_json& value) { escape_all(value); }

}  // namespace fovea
