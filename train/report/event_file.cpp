#include "train/report/event_file.h"

#include <array>
#include <chrono>

#include "core/file.h"
#include "train/report/tensorboard.pb.h"

namespace fovea {
namespace {

constexpr std::array<uint32_t, 256> crc_table = [] {
  constexpr uint32_t polynomial = 0x82F63B78;  // Castagnoli's 0x1EDC6F41 with its bits reversed
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? polynomial : 0);
    table[byte] = crc;
  }
  return table;
}();

std::string little_endian(uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text.push_back(char(value >> (8 * i)));
  return text;
}

// The record every event file begins with; TensorBoard reads the format's version from it.
std::string first_record() {
  tensorboard::Event event;
  event.set_wall_time(
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count());
  event.set_file_version("brain.Event:2");
  return tf_record(event.SerializeAsString());
}

const std::string& made_anew(const std::string& path) {
  write_file_atomically(path, first_record());
  return path;
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  uint32_t crc = ~0u;
  for (const char byte : bytes) crc = (crc >> 8) ^ crc_table[(crc ^ uint8_t(byte)) & 0xFF];
  return ~crc;
}

uint32_t masked_crc32c(std::string_view bytes) {
  const uint32_t crc = crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xA282EAD8;
}

std::string tf_record(std::string_view data) {
  const std::string length = little_endian(data.size(), 8);
  std::string record = length + little_endian(masked_crc32c(length), 4);
  record += data;
  return record + little_endian(masked_crc32c(data), 4);
}

EventFile::EventFile(const std::string& path) : file_(made_anew(path)) {}

void EventFile::write(double wall_time, int64_t step, const NamedValues& values) {
  tensorboard::Event event;
  event.set_wall_time(wall_time);
  event.set_step(step);
  for (const auto& [name, value] : values) {
    auto* scalar = event.mutable_summary()->add_value();
    scalar->set_tag(name);
    scalar->set_simple_value(float(value));
  }
  file_.append(tf_record(event.SerializeAsString()));
}

}  // namespace fovea
