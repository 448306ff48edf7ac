#pragma once
#include <string>
#include <string_view>

namespace fovea {

// The length in bytes of the UTF-8 character that the text begins with (RFC 3629: no overlong form, no
// surrogate); 0 where it begins with none.
size_t utf8_length(std::string_view text);

// Whether the whole text is UTF-8.
bool is_utf8(std::string_view text);

// The text with each byte that belongs to no UTF-8 character as `\xE9`, so that it can stand in JSON, HTML
// and XML; UTF-8 stays as it is. `mark` stands before the two digits.
std::string escape_bytes(std::string_view text, std::string_view mark = "\\x");

// The text that escape_bytes() was given. UTF-8 with a `\xE9` of its own stays as it is, unless that too
// would be no UTF-8: such names are not expected.
std::string unescape_bytes(const std::string& text);

}  // namespace fovea
