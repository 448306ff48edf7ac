#pragma once
#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace fovea {

// FNV-1a over 64-bit words: it detects accidental changes, not deliberate ones.
class Checksum {
 public:
  void add(uint64_t word) { hash_ = (hash_ ^ word) * 1099511628211u; }
  void add(double number) { add(std::bit_cast<uint64_t>(number)); }
  void add(std::string_view bytes) {
    for (size_t i = 0; i < bytes.size(); i += 8) {
      uint64_t word = 0;
      std::memcpy(&word, bytes.data() + i, bytes.size() - i < 8 ? bytes.size() - i : 8);
      add(word);
    }
  }
  std::string text() const { return std::to_string(hash_); }

 private:
  uint64_t hash_ = 14695981039346656037u;
};

}  // namespace fovea
