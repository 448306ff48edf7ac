#include "train/data/image/image_format.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>

namespace fovea {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view exif_start = "Exif\0\0"sv;

uint32_t big_endian(std::string_view bytes) {
  uint32_t value = 0;
  for (const char byte : bytes) value = value << 8 | uint8_t(byte);
  return value;
}

uint32_t little_endian(std::string_view bytes) {
  return big_endian(std::string(bytes.rbegin(), bytes.rend()));
}

// T.81, B.2.4.2: tables of one byte, 16 counts of codes by their length, and the symbols of these codes,
// which fill the segment. A symbol is a byte, so there are 256 at most; stb_image 2.27 writes past its tables
// if there are more.
bool has_sound_huffman_tables(std::string_view segment) {
  while (!segment.empty()) {
    size_t codes = 0;
    for (const char count : segment.substr(1, 16)) codes += uint8_t(count);
    if (codes > 256 || segment.size() < 17 + codes) return false;
    segment.remove_prefix(17 + codes);
  }
  return true;
}

// ITU-T T.81, annex B: markers are 0xFF and a code; most are followed by a segment that begins with its
// length. Within a scan 0xFF stands only before 0 (a byte of the data), a restart marker, or the marker that
// ends the scan.
ImageContainer read_jpeg(std::string_view bytes, bool header_only) {
  constexpr uint8_t stuffing = 0x00, temporary = 0x01, restart_first = 0xD0, huffman_tables = 0xC4,
                    baseline = 0xC0, extended = 0xC1, end_of_image = 0xD9, start_of_scan = 0xDA,
                    application_1 = 0xE1, fill = 0xFF;
  ImageContainer jpeg{.format = "JPEG"};
  size_t at = 2;
  int scans = 0, components = -1;  // of a sequential frame
  while ((at = bytes.find('\xFF', at)) != bytes.npos && at + 1 < bytes.size()) {
    const uint8_t code = uint8_t(bytes[at + 1]);
    if (code == end_of_image) {
      jpeg.complete = true;
      break;
    }
    if (code == start_of_scan && header_only) break;
    if (code == fill) {
      at += 1;
    } else if (code == stuffing || code == temporary || (code >= restart_first && code < restart_first + 8)) {
      at += 2;
    } else {
      if (at + 4 > bytes.size()) break;
      const size_t length = std::max<size_t>(big_endian(bytes.substr(at + 2, 2)), 2);
      const std::string_view payload = bytes.substr(at + 4, length - 2);
      if (code == application_1 && payload.starts_with(exif_start) && jpeg.exif.empty()) jpeg.exif = payload;
      if ((code == baseline || code == extended) && payload.size() > 5) components = uint8_t(payload[5]);
      if (code == start_of_scan)
        jpeg.one_scan = ++scans == 1 && !payload.empty() && uint8_t(payload[0]) == components;
      if (code == huffman_tables) {
        jpeg.has_huffman_tables = true;
        if (!has_sound_huffman_tables(payload)) jpeg.sound = false;
      }
      at += 2 + length;
    }
  }
  return jpeg;
}

// PNG specification 5.3: length, type, data, CRC; IEND is the last chunk.
ImageContainer read_png(std::string_view bytes) {
  constexpr size_t around_data = 12;
  ImageContainer png{.format = "PNG"};
  size_t at = 8;
  while (at + around_data <= bytes.size()) {
    const size_t length = big_endian(bytes.substr(at, 4));
    const std::string_view type = bytes.substr(at + 4, 4);
    if (length > bytes.size() - at - around_data) break;
    if (type == "eXIf") png.exif = std::string(exif_start).append(bytes.substr(at + 8, length));
    if (type == "IEND") {
      png.complete = true;
      break;
    }
    at += around_data + length;
  }
  return png;
}

// BITMAPFILEHEADER, then a BITMAPCOREHEADER (12 bytes) or one of the longer headers. The file size that it
// states is wrong in too many files to rely on. What the decoder will reject, such as compressed pixels, is
// not checked here.
ImageContainer read_bmp(std::string_view bytes) {
  if (bytes.size() < 34) return {.format = "BMP"};
  const auto field = [&](size_t at, size_t size) { return int64_t(little_endian(bytes.substr(at, size))); };
  const int64_t pixels = field(10, 4);
  const bool core = field(14, 4) == 12;
  const int64_t width = core ? field(18, 2) : field(18, 4);
  const int64_t height =
      core ? field(20, 2) : std::abs(int64_t(int32_t(field(22, 4))));  // negative: from the top
  const int64_t bits = core ? field(24, 2) : field(28, 2);
  const int64_t compression = core ? 0 : field(30, 4);
  constexpr int64_t bit_fields = 3, longest_side = 1 << 24;
  const bool refused = (compression != 0 && compression != bit_fields) || bits > 32 || width > longest_side ||
                       height > longest_side;
  if (refused) return {.format = "BMP", .complete = true};
  const int64_t row = width * bits;  // in bits; each row but the last is padded to 4 bytes
  const int64_t end = pixels + (row + 31) / 32 * 4 * std::max<int64_t>(height - 1, 0) + (row + 7) / 8;
  return {.format = "BMP", .complete = int64_t(bytes.size()) >= end};
}

// GIF89a specification: a screen of 13 bytes and its colours, then extensions (0x21) and pictures (0x2C) of
// sub-blocks, each behind a byte with its length, 0 at the end.
ImageContainer read_gif(std::string_view bytes) {
  constexpr uint8_t extension = 0x21, picture = 0x2C;
  const auto byte = [&](size_t i) { return i < bytes.size() ? uint8_t(bytes[i]) : uint8_t(0); };
  const auto colours = [&](size_t flags) { return byte(flags) & 0x80 ? size_t(6) << (byte(flags) & 7) : 0; };
  size_t at = 13 + colours(10);
  while (byte(at) == extension || byte(at) == picture) {
    const bool is_picture = byte(at) == picture;
    at += is_picture ? 11 + colours(at + 9) : 2;
    while (byte(at) > 0) at += 1 + byte(at);
    if (at >= bytes.size()) break;
    if (is_picture) return {.format = "GIF", .complete = true};
    ++at;
  }
  return {.format = "GIF"};
}

// RFC 9649: "RIFF", the number of bytes that follow, "WEBP", and chunks of a name, a length and data, padded
// to an even length.
ImageContainer read_webp(std::string_view bytes) {
  ImageContainer webp{.format = "WebP"};
  const size_t end = size_t(little_endian(bytes.substr(4, 4))) + 8;
  webp.complete = bytes.size() >= end;
  for (size_t at = 12; at + 8 <= std::min(end, bytes.size());) {
    const size_t length = little_endian(bytes.substr(at + 4, 4));
    const std::string_view data = bytes.substr(at + 8, length);
    if (bytes.substr(at, 4) == "EXIF")  // some programs put JPEG's prefix before it
      webp.exif = (data.starts_with(exif_start) ? "" : std::string(exif_start)).append(data);
    at += 8 + length + length % 2;
  }
  return webp;
}

}  // namespace

std::optional<ImageContainer> read_image_container(std::string_view bytes, bool header_only) {
  if (bytes.starts_with("\xFF\xD8\xFF"sv)) return read_jpeg(bytes, header_only);
  if (bytes.starts_with("\x89PNG\r\n\x1A\n"sv)) return read_png(bytes);
  if (bytes.starts_with("BM"sv)) return read_bmp(bytes);
  if (bytes.starts_with("GIF87a"sv) || bytes.starts_with("GIF89a"sv)) return read_gif(bytes);
  if (bytes.starts_with("RIFF"sv) && bytes.substr(0, 12).ends_with("WEBP"sv)) return read_webp(bytes);
  for (const auto start : {"II*\0"sv, "MM\0*"sv, "II+\0"sv, "MM\0+"sv})  // + is BigTIFF
    if (bytes.starts_with(start)) return ImageContainer{.format = "TIFF", .complete = true};
  return std::nullopt;
}

}  // namespace fovea
