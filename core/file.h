#pragma once
#include <span>
#include <string>
#include <string_view>

namespace fovea {

// The whole content of a file. Throws Error naming the path and the system's reason.
std::string read_file(const std::string& path);

// Gives `path` the content of all `parts` after one another, or leaves it as it was: a temporary file beside
// it is written, flushed to the disk (fsync) and renamed over it. On any failure (disk full, no permission)
// the temporary file is removed and Error thrown, naming the path and the system's reason.
void write_file_atomically(const std::string& path, std::span<const std::string_view> parts);
void write_file_atomically(const std::string& path, std::string_view content);

// Makes a folder and those above it. Throws Error naming the path and the reason.
void create_folder(const std::string& path);

}  // namespace fovea
