#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fovea {

// The content of a text file without its byte-order mark; UTF-16 that has one, as the Windows shell writes
// it, becomes UTF-8. Throws as read_file() does.
std::string read_text(const std::string& file);

// The lines of a text file without the blanks around them.
std::vector<std::string> read_lines(const std::string& file);

// A sentence with file and line if the content of a file is not UTF-8, otherwise nothing.
std::optional<std::string> utf8_fault(const std::string& file, std::string_view content);

}  // namespace fovea
