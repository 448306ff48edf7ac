#include "train/report/event_file.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "core/error.h"
#include "core/file.h"
#include "tests/support/test_data.h"
#include "train/report/tensorboard.pb.h"

using namespace fovea;
using Catch::Contains;

namespace {

template <class T>
T read_as(const std::string& bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

// The events of a file, with both checks of each record.
std::vector<tensorboard::Event> read_events(const std::string& path) {
  const std::string bytes = read_file(path);
  std::vector<tensorboard::Event> events;
  size_t at = 0;
  while (at < bytes.size()) {
    REQUIRE(bytes.size() >= at + 16);
    const size_t length = read_as<uint64_t>(bytes, at);
    REQUIRE(bytes.size() >= at + 16 + length);
    CHECK(read_as<uint32_t>(bytes, at + 8) == masked_crc32c(bytes.substr(at, 8)));
    const std::string data = bytes.substr(at + 12, length);
    CHECK(read_as<uint32_t>(bytes, at + 12 + length) == masked_crc32c(data));
    REQUIRE(events.emplace_back().ParseFromString(data));
    at += 16 + length;
  }
  return events;
}

std::string event_file_in(const std::string& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().filename().string().starts_with("events.out.tfevents.")) return entry.path().string();
  return "";
}

double wall_clock() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

TEST_CASE("CRC-32C of the published vectors") {
  CHECK(crc32c("123456789") == 0xE3069283);
  CHECK(crc32c("") == 0);
  CHECK(crc32c(std::string(32, '\0')) == 0x8A9136AA);  // RFC 3720, B.4
  CHECK(crc32c(std::string(32, '\xFF')) == 0x62A8AB43);
  std::string rising;
  for (char c = 0; c < 32; ++c) rising += c;
  CHECK(crc32c(rising) == 0x46DD794E);
  // The rotation by 15 bits and the constant, by hand: E3069283 >> 15 = 1C60D, << 17 = 25060000.
  CHECK(masked_crc32c("123456789") == 0x2507C60Du + 0xA282EAD8u);
}

TEST_CASE("a TFRecord is length, check, data, check") {
  const std::string record = tf_record("123456789");
  REQUIRE(record.size() == 8 + 4 + 9 + 4);
  CHECK(record.substr(0, 8) == std::string("\x09\0\0\0\0\0\0\0", 8));
  CHECK(record.substr(12, 9) == "123456789");
  CHECK(read_as<uint32_t>(record, 21) == 0xC78AB0E5);
  // The first record of any event file of TensorFlow: 24 bytes, whose length always has the check A3 7F
  // 4B 22.
  CHECK(tf_record(std::string(24, 'x')).substr(0, 12) ==
        std::string("\x18\0\0\0\0\0\0\0\xA3\x7F\x4B\x22", 12));
}

TEST_CASE("an event file holds its version and the scalars as float32") {
  const TemporaryFolder folder;
  const std::string path = folder / "events.out.tfevents.1.fovea";
  EventFile file(path);
  file.write(1700000000.25, 20, {{"train/loss", 0.1}, {"train/zero", 0}});
  file.write(1700000001, int64_t(1) << 40, {{"validation/AP", NAN}});
  const auto events = read_events(path);
  REQUIRE(events.size() == 3);
  CHECK(events[0].file_version() == "brain.Event:2");
  CHECK(events[0].wall_time() == Approx(wall_clock()).margin(60));
  CHECK(events[1].wall_time() == 1700000000.25);
  CHECK(events[1].step() == 20);
  REQUIRE(events[1].summary().value_size() == 2);
  CHECK(events[1].summary().value(0).tag() == "train/loss");
  CHECK(events[1].summary().value(0).simple_value() == 0.1f);
  CHECK(events[1].summary().value(1).has_simple_value());  // a 0 is written, not left out as a default
  CHECK(events[2].step() == int64_t(1) << 40);
  CHECK(std::isnan(events[2].summary().value(0).simple_value()));
  // The bytes that TensorFlow writes for step 1, tag "a", value 2: field numbers and wire types are the
  // public ones.
  const TemporaryFolder other;
  EventFile(other / "events").write(1, 1, {{"a", 2}});
  const std::string bytes = read_file(other / "events");
  const std::string event(
      "\x09\0\0\0\0\0\0\xF0\x3F\x10\x01\x2A\x0A\x0A\x08\x0A\x01"
      "a\x15\0\0\0\x40",
      23);
  CHECK(bytes.substr(bytes.size() - event.size() - 4, event.size()) == event);
}

TEST_CASE("a resumed run's event file contains the whole training, as if it had not paused") {
  const TemporaryFolder folder;
  {
    MetricsWriter writer(folder.path(), 0);
    writer.write(20, 1, 100, {{"loss", 0.5}});
    writer.write(40, 2, 160, {{"loss", 0.25}, {"AP", 0.125}});
    writer.write(60, 3, 220, {{"loss", 0.125}});
  }
  MetricsWriter writer(folder.path(), 40);
  writer.write(60, 3, 221, {{"loss", 0.0625}});
  const auto events = read_events(event_file_in(folder.path()));
  REQUIRE(events.size() == 5);
  const std::vector<int64_t> steps{0, 20, 40, 40, 60};
  const std::vector<float> values{0, 0.5f, 0.25f, 0.125f, 0.0625f};
  for (size_t i = 1; i < events.size(); ++i) {
    CHECK(events[i].step() == steps[i]);
    CHECK(events[i].summary().value(0).simple_value() == values[i]);
  }
  CHECK(events[3].summary().value(0).tag() == "AP");
  CHECK(events[2].wall_time() - events[1].wall_time() == Approx(60));
  CHECK(events[2].wall_time() == Approx(wall_clock()).margin(60));
}

TEST_CASE("a full disk stops an append with an error") {
  AppendFile full("/dev/full");
  CHECK_THROWS_WITH(full.append("x"), Contains("/dev/full cannot be written: No space left on device"));
  CHECK_THROWS_WITH(AppendFile("/nowhere/file"),
                    Contains("/nowhere/file cannot be written: No such file or directory"));
}
