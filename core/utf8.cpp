#include "core/utf8.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdint>

namespace fovea {

size_t utf8_length(std::string_view text) {
  if (text.empty()) return 0;
  const auto byte = [&](size_t i) { return uint8_t(text[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
  if (length == 0 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xC0) != 0x80) return 0;
  const bool overlong = (first == 0xE0 && byte(1) < 0xA0) || (first == 0xF0 && byte(1) < 0x90);
  const bool outside = (first == 0xED && byte(1) > 0x9F) || (first == 0xF4 && byte(1) > 0x8F);
  return overlong || outside ? 0 : length;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string escape_bytes(std::string_view text, std::string_view mark) {
  std::string result;
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    result += length > 0 ? std::string(text.substr(0, length))
                         : fmt::format("{}{:02X}", mark, uint8_t(text.front()));
    text.remove_prefix(length > 0 ? length : 1);
  }
  return result;
}

std::string unescape_bytes(const std::string& text) {
  std::string result;
  for (size_t at = 0; at < text.size(); ++at) {
    const char* digits = text.data() + at + 2;
    uint8_t byte = 0;
    if (text.compare(at, 2, "\\x") == 0 && at + 4 <= text.size() &&
        std::from_chars(digits, digits + 2, byte, 16).ptr == digits + 2 && byte >= 0x80)
      result += char(byte), at += 3;
    else
      result += text[at];
  }
  return is_utf8(result) ? text : result;
}

}  // namespace fovea
