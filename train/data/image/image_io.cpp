#include "train/data/image/image_io.h"

#include <algorithm>
#include <climits>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "core/error.h"
#include "core/file.h"
#include "train/data/image/image_format.h"
#include "train/data/image/optional_formats.h"

#ifdef FOVEA_EXIF
#include <libexif/exif-data.h>
#endif
#ifdef FOVEA_TURBOJPEG
#include <turbojpeg.h>
#endif

// Makes the code of both libraries static to this file: a program may contain its own copy of them.
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_ONLY_BMP
#define STBI_ONLY_GIF
#define STBI_NO_STDIO
// The memory is zeroed: a JPEG may use a table that it never defined, or lack a scan, and stb_image would
// decode it with the old contents of this memory, and run past the end of its tables if that is not a table.
// A table of zeros decodes to nothing.
#define STBI_MALLOC(size) std::calloc(1, size)
#define STBI_REALLOC(memory, size) std::realloc(memory, size)
#define STBI_FREE(memory) std::free(memory)
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>

namespace fovea {
namespace {

constexpr int longest_side = 16384;

// The orientation of EXIF 2.3 (tag 0x0112): which side of the image row 0 and column 0 of the file are. 1,
// upright, if the block has none or a damaged one: every viewer assumes that. A build without libexif rejects
// an image with a block, since reading it as stored would train on images that lie on their side.
int read_orientation(const std::string& exif, [[maybe_unused]] const std::string& name) {
  if (exif.empty()) return 1;
#ifdef FOVEA_EXIF
  const std::unique_ptr<ExifData, decltype(&exif_data_unref)> data(
      exif_data_new_from_data(reinterpret_cast<const unsigned char*>(exif.data()), unsigned(exif.size())),
      exif_data_unref);
  const ExifEntry* entry =
      data ? exif_content_get_entry(data->ifd[EXIF_IFD_0], EXIF_TAG_ORIENTATION) : nullptr;
  if (!entry || entry->format != EXIF_FORMAT_SHORT || entry->size < 2) return 1;
  const int orientation = exif_get_short(entry->data, exif_data_get_byte_order(data.get()));
  return orientation >= 1 && orientation <= 8 ? orientation : 1;
#else
  fail(
      "{} may have to be turned upright, which this build cannot do: install libexif-dev, and build Fovea "
      "again",
      name);
#endif
}

// Whether this many bytes can be an image of this many pixels. A block of 8 x 8 in a JPEG takes a bit or more
// (T.81, F.1.2), and deflated data unpack to 1032 times their size at most
// (https://www.zlib.net/zlib_tech.html), in a PNG of 1 bit a pixel or more. A small file that claims more
// would fill the memory. All bytes of a BMP are known to be there. The other formats have no such bound: a
// picture of one colour takes almost no bytes, and is accepted up to 64 million pixels.
bool can_hold(const ImageContainer& container, size_t bytes, int64_t pixels) {
  const std::string_view format = container.format;
  const int64_t most = format == "JPEG" ? 8 * 64 : 8 * 1032;
  const int64_t believed = format == "JPEG" || format == "PNG" ? 0 : int64_t(1) << 26;
  return format == "BMP" || pixels <= std::max(believed, int64_t(bytes) * most);
}

Image upright(Image&& image_stored, int orientation) {
  if (orientation == 1) return std::move(image_stored);
  const auto& [width, height, pixels] = image_stored;
  const uint8_t* stored = pixels.data();
  const auto [mirror_x, mirror_y, transposed] = turn_of(orientation);
  Image image(transposed ? height : width, transposed ? width : height);
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x) {
      const int along = transposed ? y : x, down = transposed ? x : y;
      const int from_x = mirror_x ? width - 1 - along : along;
      const int from_y = mirror_y ? height - 1 - down : down;
      std::memcpy(image.at(x, y), stored + (size_t(from_y) * width + from_x) * 3, 3);
    }
  return image;
}

// Decodes a JPEG of this size with libjpeg-turbo, which takes half of stb_image's time; its values differ
// from stb_image's by 3 at most, mostly by 0. Returns nothing if this build has no libjpeg-turbo, or if
// libjpeg-turbo reports any problem: stb_image then decides about the file, so every build rejects the same
// files with the same messages. libjpeg-turbo would decode a JPEG that defines no Huffman table, such as a
// frame of Motion JPEG, with the usual tables.
std::optional<Image> decode_by_turbo([[maybe_unused]] const ImageContainer& container,
                                     [[maybe_unused]] std::string_view bytes, [[maybe_unused]] int width,
                                     [[maybe_unused]] int height) {
#ifdef FOVEA_TURBOJPEG
  if (!container.has_huffman_tables) return std::nullopt;
  const std::unique_ptr<void, decltype(&tjDestroy)> decoder(tjInitDecompress(), tjDestroy);
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  int own_width = 0, own_height = 0, sampling = 0, colours = 0;
  if (!decoder || tjDecompressHeader3(decoder.get(), data, bytes.size(), &own_width, &own_height, &sampling,
                                      &colours) != 0)
    return std::nullopt;
  if (own_width != width || own_height != height) return std::nullopt;
  Image image(width, height);
  if (tjDecompress2(decoder.get(), data, bytes.size(), image.pixels.data(), width, 0, height, TJPF_RGB,
                    TJFLAG_STOPONWARNING) != 0)
    return std::nullopt;
  return image;
#else
  return std::nullopt;
#endif
}

std::string ending(const std::string& path) {
  std::string text = std::filesystem::path(path).extension().string();
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
  return text;
}

void append(void* text, void* bytes, int size) {
  static_cast<std::string*>(text)->append(static_cast<const char*>(bytes), size_t(size));
}

// Why the decoder gave up on this thread's last file. It may quote bytes of the file: what is not ASCII text
// becomes ?.
std::string failure_reason() {
  std::string reason = stbi_failure_reason();
  std::replace_if(
      reason.begin(), reason.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return reason;
}

std::function<void(const std::string&)>& image_notes() {
  static std::function<void(const std::string&)> notes;
  return notes;
}

// Throws Error if the bytes are not those of an image. require_whole() checks whether it is complete and
// sound.
ImageContainer container_of(std::string_view bytes, const std::string& name, bool header_only) {
  require(!bytes.empty(), "{} is empty: an image was expected", name);
  require(bytes.size() <= INT_MAX, "{} has {} bytes: images of up to 2 GiB can be read", name, bytes.size());
  auto container = read_image_container(bytes, header_only);
  const std::string found = container ? "" : found_instead(bytes);
  require(container.has_value(), "{} is not a readable image: {}", name,
          found.empty() ? "its content is neither JPEG, PNG, BMP, GIF, WebP nor TIFF" : found);
  return std::move(*container);
}

// With `header_only` nothing is known of the image's end.
void require_whole(const ImageContainer& container, std::string_view bytes, const std::string& name,
                   bool header_only) {
  require(container.complete || header_only,
          "{} is cut short: it stops after {} bytes, before the end of the image; copy it again", name,
          bytes.size());
  require(container.sound, "{} is damaged: its Huffman tables are impossible in a JPEG", name);
}

// The size in the file; the height of a BMP is negative if it is stored from the top.
StoredSize stored_size(std::string_view bytes, const ImageContainer& container, const std::string& name) {
  const std::string_view format = container.format;
  StoredSize size;
  if (format == "TIFF") {
    size = tiff_size(bytes, name);
  } else if (format == "WebP") {
    size = webp_size(bytes, name);
  } else {
    int channels = 0;
    const auto* data = reinterpret_cast<const stbi_uc*>(bytes.data());
    if (!stbi_info_from_memory(data, int(bytes.size()), &size.width, &size.height, &channels)) {
      stbi_image_free(  // the decoder also fails, and gives the reason
          stbi_load_from_memory(data, int(bytes.size()), &size.width, &size.height, &channels, 3));
      fail("{} cannot be decoded: {}", name, failure_reason());
    }
  }
  const int rows = format == "BMP" ? std::abs(std::max(size.height, -INT_MAX)) : size.height;
  require(size.width >= 1 && rows >= 1, "{} cannot be decoded: it has no pixels", name);
  if (format != "TIFF") size.orientation = read_orientation(container.exif, name);  // tiff_size() sets it
  return size;
}

Image decode_by_stb(std::string_view bytes, const std::string& name) {
  const auto* data = reinterpret_cast<const stbi_uc*>(bytes.data());
  const int size = int(bytes.size());
  int width = 0, height = 0, channels = 0;
  if (stbi_is_16_bit_from_memory(data, size)) {
    const std::unique_ptr<stbi_us, decltype(&stbi_image_free)> pixels(
        stbi_load_16_from_memory(data, size, &width, &height, &channels, 3), stbi_image_free);
    if (!pixels) fail("{} cannot be decoded: {}", name, failure_reason());
    return from_16_bits(pixels.get(), width, height, 3, name);
  }
  const std::unique_ptr<stbi_uc, decltype(&stbi_image_free)> pixels(
      stbi_load_from_memory(data, size, &width, &height, &channels, 3), stbi_image_free);
  if (!pixels) fail("{} cannot be decoded: {}", name, failure_reason());
  Image image(width, height);
  std::memcpy(image.pixels.data(), pixels.get(), image.pixels.size());
  return image;
}

void check_pixels(const Image& image) {
  require(image.width >= 1 && image.height >= 1 &&
              image.pixels.size() == size_t(image.width) * size_t(image.height) * 3,
          "an image of {} x {} pixels with {} bytes cannot be encoded: 3 bytes per pixel are needed",
          image.width, image.height, image.pixels.size());
}

}  // namespace

void set_image_notes(std::function<void(const std::string&)> on_note) { image_notes() = std::move(on_note); }

Image from_16_bits(const uint16_t* pixels, int width, int height, int channels, const std::string& name) {
  constexpr uint16_t most_of_12_bits = 4095;
  const size_t count = size_t(width) * size_t(height), all = size_t(channels), colours = channels < 3 ? 1 : 3;
  uint16_t most = 0;
  for (size_t i = 0; i < count; ++i)
    for (size_t c = 0; c < colours; ++c) most = std::max(most, pixels[i * all + c]);
  const bool stretch = most <= most_of_12_bits && most > 0;
  Image image(width, height);
  for (size_t i = 0; i < count; ++i)
    for (size_t c = 0; c < 3; ++c) {
      const int value = pixels[i * all + (colours == 1 ? 0 : c)];
      image.pixels[i * 3 + c] =
          uint8_t(stretch ? (value * 255 + most_of_12_bits / 2) / most_of_12_bits : value >> 8);
    }
  if (stretch && image_notes())
    image_notes()(fmt::format(
        "{} has 16 bits and no value above 4095: its 12 bits are stretched over the whole range", name));
  return image;
}

// Decodes a JPEG that lacks only the marker at its end, as some cameras and programs write it. With the
// marker put back, libjpeg-turbo finds all pixels, or reports that data are missing.
std::optional<Image> decode_unterminated_jpeg(std::string_view bytes, const ImageContainer& container,
                                              const std::string& name) {
  if (container.complete || !container.sound || !container.one_scan) return std::nullopt;
  const auto [width, height, orientation] = stored_size(bytes, container, name);
  if (width < 1 || height < 1 || std::max(width, height) > longest_side ||
      !can_hold(container, bytes.size(), int64_t(width) * height))
    return std::nullopt;
  auto image = decode_by_turbo(container, std::string(bytes) + "\xFF\xD9", width, height);
  if (!image) return std::nullopt;
  if (image_notes()) image_notes()(name + " ends without a JPEG's last marker: all its pixels are there");
  return upright(std::move(*image), orientation);
}

Image decode_image(std::string_view bytes, const std::string& name) {
  const ImageContainer container = container_of(bytes, name, false);
  if (auto image = decode_unterminated_jpeg(bytes, container, name)) return std::move(*image);
  require_whole(container, bytes, name, false);
  // The height of a BMP may be negative.
  const std::string_view format = container.format;
  const auto [width, height, orientation] = stored_size(bytes, container, name);
  require(std::max(std::abs(int64_t(width)), std::abs(int64_t(height))) <= longest_side,
          "{} is {} x {} pixels: at most {} on a side can be read, make it smaller", name, width, height,
          longest_side);
  require(can_hold(container, bytes.size(), std::abs(int64_t(width) * height)),
          "{} is damaged: its header says {} x {} pixels, which its {} bytes cannot hold; copy it again",
          name, width, height, bytes.size());
  if (format == "JPEG")
    if (auto image = decode_by_turbo(container, bytes, width, height))
      return upright(std::move(*image), orientation);
  return upright(format == "WebP"   ? decode_webp(bytes, name)
                 : format == "TIFF" ? decode_tiff(bytes, name)
                                    : decode_by_stb(bytes, name),
                 orientation);
}

const char* jpeg_decoder() {
#ifdef FOVEA_TURBOJPEG
  return "libjpeg-turbo";
#else
  return "stb_image";
#endif
}

Turn turn_of(int orientation) {
  return {.mirror_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8,
          .mirror_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7,
          .transposed = orientation >= 5};
}

Image read_image(const std::string& path) { return decode_image(read_file(path), path); }

ImageHeader decode_image_header(std::string_view bytes, const std::string& name) {
  const ImageContainer container = container_of(bytes, name, true);
  require_whole(container, bytes, name, true);
  auto [width, height, orientation] = stored_size(bytes, container, name);
  height = std::abs(height);  // of a BMP stored from the top it is negative
  if (orientation >= 5) std::swap(width, height);
  return {container.format, width, height, orientation};
}

ImageHeader read_image_header(const std::string& path) {
  const MappedFile file(path);
  return decode_image_header(file.content(), path);
}

bool has_image_ending(const std::string& path) {
  return std::find(image_endings.begin(), image_endings.end(), ending(path)) != image_endings.end();
}

std::string encode_png(const Image& image) {
  check_pixels(image);
  std::string bytes;
  require(stbi_write_png_to_func(append, &bytes, image.width, image.height, 3, image.pixels.data(),
                                 image.width * 3),
          "an image of {} x {} pixels cannot be encoded as PNG: too little memory", image.width,
          image.height);
  return bytes;
}

std::string encode_jpeg(const Image& image, int quality) {
  check_pixels(image);
  require(quality >= 1 && quality <= 100, "the JPEG quality is {}: give 1 to 100", quality);
  std::string bytes;
  require(stbi_write_jpg_to_func(append, &bytes, image.width, image.height, 3, image.pixels.data(), quality),
          "an image of {} x {} pixels cannot be encoded as JPEG", image.width, image.height);
  return bytes;
}

void write_image(const std::string& path, const Image& image) {
  const std::string format = ending(path);
  require(format == ".png" || format == ".jpg" || format == ".jpeg",
          "{} cannot be written: give a name that ends in .png or .jpg", path);
  write_file_atomically(path, format == ".png" ? encode_png(image) : encode_jpeg(image, 92));
}

}  // namespace fovea
