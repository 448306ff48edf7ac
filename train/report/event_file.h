#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "train/report/append_file.h"
#include "train/report/metrics.h"

namespace fovea {

// CRC-32C (Castagnoli, RFC 3720 appendix B.4) of the bytes.
uint32_t crc32c(std::string_view bytes);

// The CRC as TFRecord files hold it: rotated and shifted, because a CRC over data that hold their own CRC
// detects little.
uint32_t masked_crc32c(std::string_view bytes);

// A TFRecord: the length of `data` in 8 bytes, the masked CRC of these, the data, the masked CRC of the data;
// little endian.
std::string tf_record(std::string_view data);

// A file of scalars for TensorBoard, which finds files whose name contains "tfevents".
class EventFile {
 public:
  explicit EventFile(const std::string& path);  // overwrites the file; throws Error if it cannot
  // One event with these numbers, as float32, at `wall_time` in seconds since 1970. Throws Error if the disk
  // is full.
  void write(double wall_time, int64_t step, const NamedValues& values);

 private:
  AppendFile file_;
};

}  // namespace fovea
