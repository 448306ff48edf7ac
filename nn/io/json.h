#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace fovea {

// Parses a JSON text that may come from anywhere. Messages begin with `source`, such as the file's name;
// `what` says what the text should be, such as "a configuration in JSON"; `visit` is called as
// nlohmann::json::parse() calls it, and may leave values out. Throws Error
// - if the text is not JSON: "<source> is not <what>: <reason, with line and column>";
// - if lists or objects are nested more than 100 deep. JSON's grammar has no limit, and a recursive function
//   writes a value out for a message: a file of a million brackets would end the program (RFC 8259, section
//   9, lets a reader set a limit).
nlohmann::json parse_json(std::string_view text, const std::string& source, const std::string& what,
                          const nlohmann::json::parser_callback_t& visit = nullptr);

// Returns a number written in quotes ("12"), or a whole one with a decimal point (12.0), as a plain number,
// and any other value unchanged.
nlohmann::json plain_number(const nlohmann::json& value);

// Escapes the texts in a value that are not UTF-8 (core/utf8.h), which JSON cannot hold.
void escape_texts(nlohmann::json& value);
void escape_texts(nlohmann::ordered_json& value);

// value.dump(indent), with texts that are not UTF-8 escaped: names of files and classes come from anywhere.
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
