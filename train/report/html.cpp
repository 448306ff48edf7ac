#include "train/report/html.h"

#include <cstdint>

#include "core/utf8.h"

namespace fovea {

std::string escape_html(std::string_view text) {
  std::string escaped;
  for (const char c : escape_bytes(text)) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      case '\t':
      case '\n':
      case '\r':
        escaped += ' ';
        break;
      default:
        if (uint8_t(c) < 32)
          escaped += "\xEF\xBF\xBD";
        else
          escaped += c;
    }
  }
  return escaped;
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t have = bytes.size() - i;
    const uint32_t group = uint32_t(uint8_t(bytes[i])) << 16 |
                           (have > 1 ? uint32_t(uint8_t(bytes[i + 1])) << 8 : 0) |
                           (have > 2 ? uint32_t(uint8_t(bytes[i + 2])) : 0);
    text += digits[group >> 18];
    text += digits[group >> 12 & 63];
    text += have > 1 ? digits[group >> 6 & 63] : '=';
    text += have > 2 ? digits[group & 63] : '=';
  }
  return text;
}

}  // namespace fovea
