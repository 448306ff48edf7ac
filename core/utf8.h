#pragma once
#include <string>
#include <string_view>

namespace fovea {

// Returns the length in bytes of the UTF-8 character at the start of the text (RFC 3629: no overlong form, no
// surrogate), or 0 if there is none.
size_t utf8_length(std::string_view text);

// Whether the whole text is UTF-8.
bool is_utf8(std::string_view text);

// Writes each byte that belongs to no UTF-8 character as `\xE9`, so that the text can stand in JSON, HTML and
// XML; UTF-8 stays as it is. `mark` precedes the two digits.
std::string escape_bytes(std::string_view text, std::string_view mark = "\\x");

// Undoes escape_bytes(). UTF-8 with a `\xE9` of its own stays as it is, unless it would not be UTF-8 with
// that byte: such names are not expected.
std::string unescape_bytes(const std::string& text);

}  // namespace fovea
