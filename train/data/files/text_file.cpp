#include "train/data/files/text_file.h"

#include <algorithm>
#include <cstdint>

#include "core/error.h"
#include "core/file.h"
#include "core/utf8.h"

namespace fovea {
namespace {

using namespace std::string_view_literals;

void append_utf8(std::string& text, uint32_t point) {
  const int more = point < 0x80 ? 0 : point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
  text += char(more == 0 ? point : (0xFF00u >> (more + 1) & 0xFF) | point >> 6 * more);
  for (int i = more; i-- > 0;) text += char(0x80 | (point >> 6 * i & 0x3F));
}

// RFC 2781, section 2.2; half a pair becomes U+FFFD.
std::string from_utf16(std::string_view bytes, bool big_endian) {
  const auto unit = [&](size_t at) {
    const auto high = uint8_t(bytes[big_endian ? at : at + 1]),
               low = uint8_t(bytes[big_endian ? at + 1 : at]);
    return uint32_t(high) << 8 | low;
  };
  std::string text;
  for (size_t at = 0; at + 1 < bytes.size(); at += 2) {
    const uint32_t first = unit(at), second = at + 3 < bytes.size() ? unit(at + 2) : 0;
    const bool pair = first >> 10 == 0x36 && second >> 10 == 0x37;
    append_utf8(text, pair                  ? 0x10000 + ((first & 0x3FF) << 10 | (second & 0x3FF))
                      : first >> 11 == 0x1B ? 0xFFFD
                                            : first);
    at += pair ? 2 : 0;
  }
  return text;
}

}  // namespace

std::string read_text(const std::string& file) {
  std::string content = read_file(file);
  if (content.starts_with("\xEF\xBB\xBF"sv)) return content.substr(3);
  if (content.starts_with("\xFE\xFF"sv)) return from_utf16(std::string_view(content).substr(2), true);
  if (content.starts_with("\xFF\xFE"sv)) return from_utf16(std::string_view(content).substr(2), false);
  return content;
}

std::vector<std::string> read_lines(const std::string& file) {
  constexpr const char* blanks = " \t\r\n\v\f";
  const std::string content = read_text(file);
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < content.size();) {
    const size_t end = std::min(content.find('\n', begin), content.size());
    std::string line = content.substr(begin, end - begin);
    begin = end + 1;
    line.erase(line.find_last_not_of(blanks) + 1);
    line.erase(0, line.find_first_not_of(blanks));
    lines.push_back(line);
  }
  return lines;
}

std::optional<std::string> utf8_fault(const std::string& file, std::string_view content) {
  if (is_utf8(content)) return std::nullopt;
  size_t line = 1;
  for (size_t at = 0, length = 0; (length = utf8_length(content.substr(at))) > 0; at += length)
    line += content[at] == '\n';
  return fmt::format("{}:{} is not UTF-8: bytes that are not characters are written as \\x and two digits",
                     file, line);
}

}  // namespace fovea
