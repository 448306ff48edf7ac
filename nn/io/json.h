#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace fovea {

// The value in a JSON text that may come from anywhere. Messages begin with `source`, the file's name for
// one, and `what` says what the text should be, like "a configuration in JSON"; `visit` is called as
// nlohmann::json::parse() calls it, and may leave values out. Throws Error
// - where the text is not JSON: "<source> is not <what>: <reason, with line and column>";
// - where lists or objects lie more than 100 deep in one another. JSON's grammar has no limit, and a value is
//   written out for a message by a function that calls itself: a file of a million brackets would end the
//   program (RFC 8259, section 9, lets a reader set a limit).
nlohmann::json parse_json(std::string_view text, const std::string& source, const std::string& what,
                          const nlohmann::json::parser_callback_t& visit = nullptr);

// A number that stands as a numeral in quotes ("12"), or a whole one with a decimal point (12.0), as the
// number that it is; any other value as it is.
nlohmann::json plain_number(const nlohmann::json& value);

// Escapes the texts in a value that are not UTF-8 (core/utf8.h), which JSON cannot hold.
void escape_texts(nlohmann::json& value);
void escape_texts(nlohmann::ordered_json& value);

// value.dump(indent), texts that are not UTF-8 escaped: names of files and classes come from anywhere.
template <class Json>
std::string dump_json(const Json& value, int indent = -1) {
  try {
    return value.dump(indent);
  } catch (const nlohmann::json::type_error&) {
    Json escaped = value;
    escape_texts(escaped);
    return escaped.dump(indent);
  }
}

}  // namespace fovea
