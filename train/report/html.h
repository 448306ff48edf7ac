#pragma once
#include <string>
#include <string_view>

namespace fovea {

// Escapes text for HTML and SVG, between tags and inside quotes: & < > " ' become entities, control
// characters (not allowed in XML) become U+FFFD, bytes that are not UTF-8 become `\xE9` (core/utf8.h).
std::string escape_html(std::string_view text);

// Base64 of RFC 4648, with padding: for images inside a page as data:image/jpeg;base64,...
std::string base64(std::string_view bytes);

}  // namespace fovea
