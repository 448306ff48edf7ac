#include "train/data/image/image_io.h"

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <filesystem>

#include "core/error.h"
#include "core/file.h"
#include "tests/support/test_data.h"

#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#define STBI_MALLOC(size) std::calloc(1, size)
#define STBI_REALLOC(memory, size) std::realloc(memory, size)
#define STBI_FREE(memory) std::free(memory)
#include <stb/stb_image.h>

using namespace fovea;
using namespace std::string_literals;
using Catch::Contains;

namespace {

using Colour = std::array<int, 3>;

Colour colour(const Image& image, int x, int y) {
  const uint8_t* p = image.at(x, y);
  return {p[0], p[1], p[2]};
}

bool near(Colour a, Colour b, int tolerance) {
  for (size_t c = 0; c < 3; ++c)
    if (std::abs(a[c] - b[c]) > tolerance) return false;
  return true;
}

constexpr Colour red{255, 0, 0}, blue{0, 0, 255}, green{0, 255, 0}, white{255, 255, 255};

// The colours in the middle of the four quarters: above left, above right, below left, below right.
std::array<Colour, 4> quarters(const Image& image) {
  const int w = image.width, h = image.height;
  return {colour(image, w / 4, h / 4), colour(image, w * 3 / 4, h / 4), colour(image, w / 4, h * 3 / 4),
          colour(image, w * 3 / 4, h * 3 / 4)};
}

Image four_colours(int width, int height) {
  Image image(width, height);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const Colour c = y < height / 2 ? (x < width / 2 ? red : blue) : (x < width / 2 ? green : white);
      std::copy(c.begin(), c.end(), image.at(x, y));
    }
  return image;
}

std::string big_endian(uint32_t value, int size) {
  std::string bytes;
  for (int i = size - 1; i >= 0; --i) bytes += char(value >> (8 * i));
  return bytes;
}

std::string little_endian(uint32_t value, int size) {
  std::string bytes = big_endian(value, size);
  return {bytes.rbegin(), bytes.rend()};
}

std::string chunk(const std::string& type, const std::string& data) {
  uint32_t crc = ~0u;  // PNG specification, annex D
  for (const char byte : type + data) {
    crc ^= uint8_t(byte);
    for (int i = 0; i < 8; ++i) crc = crc & 1 ? 0xEDB88320u ^ (crc >> 1) : crc >> 1;
  }
  return big_endian(uint32_t(data.size()), 4) + type + data + big_endian(~crc, 4);
}

// A PNG of the given rows (each with its filter byte in front), stored without compression (RFC 1950 and
// 1951).
std::string png(int width, int height, int bits, int colour_type, const std::string& rows,
                const std::string& chunks_between = "") {
  uint32_t a = 1, b = 0;
  for (const char byte : rows) {
    a = (a + uint8_t(byte)) % 65521;
    b = (b + a) % 65521;
  }
  const uint32_t length = uint32_t(rows.size());
  const std::string zlib = "\x78\x01\x01"s + little_endian(length, 2) + little_endian(~length & 0xFFFF, 2) +
                           rows + big_endian(b << 16 | a, 4);
  const std::string header = big_endian(uint32_t(width), 4) + big_endian(uint32_t(height), 4) + char(bits) +
                             char(colour_type) + "\0\0\0"s;
  return "\x89PNG\r\n\x1A\n"s + chunk("IHDR", header) + chunks_between + chunk("IDAT", zlib) +
         chunk("IEND", "");
}

// The TIFF block of EXIF with one field, the orientation (type 3, a 16-bit number), in either byte order.
std::string exif_block(int orientation, bool intel) {
  const auto number = [&](uint32_t value, int size) {
    return intel ? little_endian(value, size) : big_endian(value, size);
  };
  return (intel ? "II" : "MM") + number(42, 2) + number(8, 4) + number(1, 2) + number(0x0112, 2) +
         number(3, 2) + number(1, 4) + number(uint32_t(orientation), 2) + number(0, 2) + number(0, 4);
}

std::string jpeg_with_exif(const Image& image, int orientation, bool intel) {
  const std::string payload = "Exif\0\0"s + exif_block(orientation, intel);
  const std::string jpeg = encode_jpeg(image, 95);
  return jpeg.substr(0, 2) + "\xFF\xE1" + big_endian(uint32_t(payload.size() + 2), 2) + payload +
         jpeg.substr(2);
}

// 3 x 2 pixels, 24 bits, rows from the bottom, padded to 12 bytes; blue first.
std::string bmp(int32_t height = 2) {
  const std::string pixels =
      "\x00\x00\xFF\x00\xFF\x00\xFF\x00\x00\0\0\0"s + "\x01\x02\x03\x04\x05\x06\x07\x08\x09\0\0\0"s;
  return "BM" + little_endian(54 + 24, 4) + little_endian(0, 4) + little_endian(54, 4) +
         little_endian(40, 4) + little_endian(3, 4) + little_endian(uint32_t(height), 4) +
         little_endian(1, 2) + little_endian(24, 2) + std::string(24, '\0') + pixels;
}

std::string golden(const std::string& name) {
  return read_file(FOVEA_SOURCE_DIR "/tests/golden/images/" + name);
}

}  // namespace

TEST_CASE("PNG keeps every pixel, JPEG nearly so") {
  const TemporaryFolder folder;
  Image image(7, 5);
  for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = uint8_t(i * 37);
  write_image(folder / "a.png", image);
  const Image back = read_image(folder / "a.png");
  CHECK(back.width == 7);
  CHECK(back.height == 5);
  CHECK(back.pixels == image.pixels);

  for (const char* name : {"a.jpg", "b.JPEG"}) {
    write_image(folder / name, four_colours(32, 16));
    const Image lossy = read_image(folder / name);
    CHECK(lossy.width == 32);
    CHECK(lossy.height == 16);
    CHECK(near(colour(lossy, 4, 4), red, 4));
    CHECK(near(colour(lossy, 28, 12), white, 4));
  }
  CHECK(encode_jpeg(image, 10).size() < encode_jpeg(image, 100).size());
}

TEST_CASE("PNG of 16 bits, grey, alpha and palette become 8-bit RGB") {
  // 16 bits are cut to the upper 8.
  Image image =
      decode_image(png(2, 1, 16, 2, "\0\x12\xFF\x34\x80\x56\x00\xFF\xFF\x00\xFF\x80\x00"s), "rgb16");
  CHECK(image.pixels == std::vector<uint8_t>{0x12, 0x34, 0x56, 0xFF, 0x00, 0x80});
  image = decode_image(png(2, 1, 16, 0, "\0\x12\xFF\xAB\x00"s), "grey16");
  CHECK(image.pixels == std::vector<uint8_t>{0x12, 0x12, 0x12, 0xAB, 0xAB, 0xAB});
  image = decode_image(png(2, 2, 8, 0, "\0\x01\x02\0\x03\x04"s), "grey8");
  CHECK(image.pixels == std::vector<uint8_t>{1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4});
  image = decode_image(png(8, 1, 1, 0, "\0\xA0"s), "grey1");
  CHECK(colour(image, 0, 0) == white);
  CHECK(colour(image, 1, 0) == Colour{0, 0, 0});
  CHECK(colour(image, 2, 0) == white);
  // Alpha is dropped, not blended: the colours below transparent pixels are the file's.
  image = decode_image(png(2, 1, 8, 6, "\0\x0A\x14\x1E\x00\x28\x32\x3C\xFF"s), "rgba8");
  CHECK(image.pixels == std::vector<uint8_t>{10, 20, 30, 40, 50, 60});
  image = decode_image(png(2, 1, 8, 4, "\0\x0A\x80\x14\xFF"s), "grey8 alpha");
  CHECK(image.pixels == std::vector<uint8_t>{10, 10, 10, 20, 20, 20});
  const std::string palette = chunk("PLTE", "\x01\x02\x03\xF1\xF2\xF3"s);
  image = decode_image(png(3, 1, 8, 3, "\0\x01\0\x01"s, palette), "palette8");
  CHECK(image.pixels == std::vector<uint8_t>{0xF1, 0xF2, 0xF3, 1, 2, 3, 0xF1, 0xF2, 0xF3});
  image = decode_image(png(2, 1, 4, 3, "\0\x10"s, palette + chunk("tRNS", "\0"s)), "palette4 transparent");
  CHECK(image.pixels == std::vector<uint8_t>{0xF1, 0xF2, 0xF3, 1, 2, 3});
}

TEST_CASE("JPEG of grey, progressive, with restarts, CMYK, BMP of 24 bits and a palette") {
  for (const char* name : {"progressive.jpg", "restarts.jpg", "cmyk.jpg", "palette.bmp"}) {
    INFO(name);
    const Image image = decode_image(golden(name), name);
    CHECK(image.width == 24);
    CHECK(image.height == 16);
    const auto found = quarters(image);
    CHECK(near(found[0], red, 25));
    CHECK(near(found[1], blue, 25));
    CHECK(near(found[2], green, 25));
    CHECK(near(found[3], white, 25));
  }
  // Luma of Rec. 601.
  const auto grey = quarters(decode_image(golden("grey.jpg"), "grey"));
  CHECK(near(grey[0], {76, 76, 76}, 4));
  CHECK(near(grey[1], {29, 29, 29}, 4));
  CHECK(near(grey[2], {150, 150, 150}, 4));

  const std::vector<uint8_t> upper{3, 2, 1, 6, 5, 4, 9, 8, 7}, lower{255, 0, 0, 0, 255, 0, 0, 0, 255};
  const auto pixels = [](std::vector<uint8_t> a, const std::vector<uint8_t>& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  };
  CHECK(decode_image(bmp(), "bmp").pixels == pixels(upper, lower));
  CHECK(decode_image(bmp(-2), "bmp from the top").pixels == pixels(lower, upper));
}

TEST_CASE("JPEGs have stb_image's values except for rounding, and exactly those if a file is damaged") {
  const auto by_stb = [](const std::string& bytes) {
    int width = 0, height = 0, channels = 0;
    uint8_t* pixels = stbi_load_from_memory(reinterpret_cast<const uint8_t*>(bytes.data()), int(bytes.size()),
                                            &width, &height, &channels, 3);
    REQUIRE(pixels);
    const std::vector<uint8_t> result(pixels, pixels + size_t(width) * size_t(height) * 3);
    std::free(pixels);
    return result;
  };
  Image noise(203, 101);
  for (size_t i = 0; i < noise.pixels.size(); ++i) noise.pixels[i] = uint8_t(i * i / 7777 + i % 3 * 60);
  for (const int quality : {50, 100}) {  // a quarter of the chroma, and all of it
    const std::string bytes = encode_jpeg(noise, quality);
    const std::vector<uint8_t> expected = by_stb(bytes), found = decode_image(bytes, "noise").pixels;
    REQUIRE(found.size() == expected.size());
    int most = 0;
    for (size_t i = 0; i < found.size(); ++i) most = std::max(most, std::abs(found[i] - expected[i]));
    CHECK(most <= 4);
    CHECK((most > 0) == (jpeg_decoder() == "libjpeg-turbo"s));
    std::string damaged = bytes;
    damaged.insert(bytes.size() - 2, "that is no part of the image");  // before the marker of its end
    CHECK(decode_image(damaged, "damaged").pixels == by_stb(damaged));
  }
  CHECK(decode_image(golden("cmyk.jpg"), "cmyk").pixels == by_stb(golden("cmyk.jpg")));
}

TEST_CASE("every EXIF orientation is turned upright") {
  // The positions of the file's quarters (red, blue, green, white).
  const std::array<std::array<Colour, 4>, 8> expected = {{{red, blue, green, white},
                                                          {blue, red, white, green},
                                                          {white, green, blue, red},
                                                          {green, white, red, blue},
                                                          {red, green, blue, white},
                                                          {green, red, white, blue},
                                                          {white, blue, green, red},
                                                          {blue, white, red, green}}};
  for (int orientation = 1; orientation <= 8; ++orientation)
    for (const bool intel : {false, true}) {
      INFO("orientation " << orientation);
      const Image image = decode_image(jpeg_with_exif(four_colours(32, 16), orientation, intel), "exif");
      CHECK(image.width == (orientation <= 4 ? 32 : 16));
      CHECK(image.height == (orientation <= 4 ? 16 : 32));
      const auto found = quarters(image);
      for (size_t i = 0; i < 4; ++i) CHECK(near(found[i], expected[size_t(orientation) - 1][i], 8));
    }

  const std::string rows = "\0\x01\x02\x03\0\x04\x05\x06"s;
  const Image turned = decode_image(png(3, 2, 8, 0, rows, chunk("eXIf", exif_block(6, false))), "png exif");
  CHECK(turned.width == 2);
  CHECK(turned.height == 3);
  CHECK(turned.pixels == std::vector<uint8_t>{4, 4, 4, 1, 1, 1, 5, 5, 5, 2, 2, 2, 6, 6, 6, 3, 3, 3});
}

TEST_CASE("an invalid orientation, and a damaged EXIF block, leave the image as it is") {
  for (const int orientation : {0, 9, 65535}) {
    const Image image = decode_image(jpeg_with_exif(four_colours(32, 16), orientation, true), "exif");
    CHECK(image.width == 32);
    CHECK(near(colour(image, 4, 4), red, 8));
  }
  const std::string jpeg = encode_jpeg(four_colours(32, 16), 95), block = "Exif\0\0"s + exif_block(6, true);
  for (size_t size = 6; size + 6 < block.size(); ++size) {
    const std::string cut = "\xFF\xE1" + big_endian(uint32_t(size + 2), 2) + block.substr(0, size);
    CHECK(decode_image(jpeg.substr(0, 2) + cut + jpeg.substr(2), "cut").height >= 16);
  }
}

TEST_CASE("a file cut short anywhere is an error") {
  Image noise(40, 24);
  for (size_t i = 0; i < noise.pixels.size(); ++i) noise.pixels[i] = uint8_t(i * i / 7);
  const std::vector<std::pair<const char*, std::string>> files = {
      {"noise.jpg", encode_jpeg(noise, 90)},
      {"exif.jpg", jpeg_with_exif(noise, 6, true)},
      {"progressive.jpg", golden("progressive.jpg")},
      {"restarts.jpg", golden("restarts.jpg")},
      {"noise.png", encode_png(noise)},
      {"palette.bmp", golden("palette.bmp")}};
  for (const auto& [name, bytes] : files) {
    REQUIRE_NOTHROW(decode_image(bytes, name));
    // libjpeg-turbo finds all pixels of the JPEGs of one scan without the two bytes of the marker at the end.
    const bool marker_only =
        jpeg_decoder() == "libjpeg-turbo"s && name != "progressive.jpg"s && bytes.starts_with("\xFF\xD8");
    for (size_t size = 8; size < bytes.size() - (marker_only ? 2 : 0); ++size) {
      INFO(name << " cut after " << size << " of " << bytes.size() << " bytes");
      CHECK_THROWS_WITH(
          decode_image(std::string_view(bytes).substr(0, size), name),
          Contains(name) && Contains("is cut short: it stops after " + std::to_string(size) + " bytes"));
    }
    for (size_t size = bytes.size() - (marker_only ? 2 : 0); size < bytes.size(); ++size) {
      std::string note;
      set_image_notes([&](const std::string& text) { note = text; });
      CHECK(decode_image(bytes.substr(0, size), name).pixels == decode_image(bytes, name).pixels);
      CHECK_THAT(note, Contains("ends without a JPEG's last marker"));
      set_image_notes(nullptr);
    }
    for (size_t size = 1; size < 8; ++size)
      CHECK_THROWS_AS(decode_image(std::string_view(bytes).substr(0, size), name), Error);
    // A copy that kept the length but lost its second half.
    const std::string zeroed =
        bytes.substr(0, bytes.size() / 2) + std::string(bytes.size() - bytes.size() / 2, '\0');
    if (std::string(name) != "palette.bmp")  // zeros are valid pixels there
      CHECK_THROWS_WITH(decode_image(zeroed, name), Contains("is cut short"));
  }
  CHECK_NOTHROW(decode_image(encode_jpeg(noise) + "bytes after the end are allowed", "trailer"));
  const std::string whole = bmp();  // the padding of the last row may be missing
  CHECK_NOTHROW(decode_image(whole.substr(0, whole.size() - 3), "bmp"));
  CHECK_THROWS_WITH(decode_image(whole.substr(0, whole.size() - 4), "bmp"), Contains("is cut short"));
  for (const auto* read : {"decode", "header"}) {  // stb_image accepts a BMP that is 0 pixels wide
    std::string none = whole;
    std::fill(none.begin() + 18, none.begin() + 22, '\0');
    CHECK_THROWS_WITH(read[0] == 'd' ? (void)decode_image(none, "b") : (void)decode_image_header(none, "b"),
                      Contains("b cannot be decoded: it has no pixels"));
  }
}

TEST_CASE("a file that is not an image, or is too large, is an error that names it") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH(read_image(folder / "none.png"), Contains("none.png cannot be read: No such file"));
  CHECK_THROWS_WITH(read_image(folder.path()), Contains("is a folder"));
  write_file_atomically(folder / "empty.jpg", "");
  CHECK_THROWS_WITH(read_image(folder / "empty.jpg"), Contains("empty.jpg is empty"));
  write_file_atomically(folder / "page.jpg", "<html>404</html>");
  CHECK_THROWS_WITH(read_image(folder / "page.jpg"), Contains("page.jpg is no image"));
  CHECK_THROWS_WITH(decode_image("%PDF-1.4.....................", "a.jpg"),
                    Contains("neither JPEG, PNG, BMP, GIF, WebP nor TIFF"));
  CHECK_THROWS_WITH(decode_image(png(16385, 1, 8, 0, std::string(16386, '\0')), "wide.png"),
                    Contains("wide.png is 16385 x 1 pixels: at most 16384"));
  CHECK(decode_image(png(16384, 1, 8, 0, std::string(16385, '\0')), "widest.png").width == 16384);
  CHECK_THROWS_WITH(
      decode_image(png(16384, 16384, 8, 0, std::string(100, '\0')), "bomb.png"),
      Contains("bomb.png is damaged: its header says 16384 x 16384 pixels, which its 168 bytes"));
  std::string claims = encode_jpeg(four_colours(16, 16));
  const size_t frame = claims.find("\xFF\xC0");  // length, precision, height, width
  claims[frame + 5] = claims[frame + 7] = '\x3F';
  CHECK_THROWS_WITH(decode_image(claims, "claims.jpg"),
                    Contains("claims.jpg is damaged: its header says 16144 x 16144 pixels"));
  CHECK_THROWS_WITH(decode_image("\xFF\xD8\xFF\xD9"s + std::string(40, ' '), "hollow.jpg"),
                    Contains("hollow.jpg cannot be decoded: "));
  std::string damaged = encode_png(four_colours(16, 16));
  for (size_t at = 43; at < damaged.size() - 16; ++at) damaged[at] = '\xEE';
  CHECK_THROWS_WITH(decode_image(damaged, "damaged.png"), Contains("damaged.png cannot be decoded: "));
  std::string unknown = encode_png(four_colours(16, 16));
  unknown[37] = '\xC9';  // the first letter of IDAT
  CHECK_THROWS_WITH(decode_image(unknown, "unknown.png"),
                    Contains("unknown.png cannot be decoded: ?DAT PNG chunk"));
  // A Huffman table of more codes than there are symbols, which the decoder would write past its end.
  std::string tables = encode_jpeg(four_colours(16, 16));
  const size_t counts = tables.find("\xFF\xC4") + 5;
  for (size_t i = 0; i < 16; ++i) tables[counts + i] = '\xFF';
  CHECK_THROWS_WITH(decode_image(tables, "tables.jpg"),
                    Contains("tables.jpg is damaged: its Huffman tables"));
  CHECK_THROWS_WITH(decode_image_header(tables, "tables.jpg"),
                    Contains("tables.jpg is damaged: its Huffman tables"));
  // Without its tables it is an image of zeros, not of the memory's old content: the same each time.
  std::string bare = encode_jpeg(Image(16, 16));
  for (size_t at = 0; (at = bare.find("\xFF\xC4", at)) != bare.npos;)
    bare.erase(at, 2 + 256 * uint8_t(bare[at + 2]) + uint8_t(bare[at + 3]));
  const Image grey = decode_image(bare, "bare.jpg");
  CHECK(quarters(grey) == std::array<Colour, 4>{colour(grey, 0, 0), colour(grey, 0, 0), colour(grey, 0, 0),
                                                colour(grey, 0, 0)});
  CHECK(colour(grey, 0, 0) == Colour{128, 128, 128});
  CHECK_THROWS_WITH(decode_image(bmp(-17000) + std::string(17000 * 12, '\0'), "tall.bmp"),
                    Contains("tall.bmp is 3 x -17000 pixels: at most 16384"));
  CHECK_THROWS_WITH(decode_image(bmp(INT32_MIN), "tallest.bmp"),
                    Contains("tallest.bmp is 3 x -2147483648 pixels"));
  std::string compressed = bmp();
  compressed[30] = 1;
  CHECK_THROWS_WITH(decode_image(compressed, "rle.bmp"), Contains("rle.bmp cannot be decoded: BMP RLE"));
}

TEST_CASE("images are written only where their name and size allow") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH(write_image(folder / "a.gif", Image(2, 2)),
                    Contains("a.gif") && Contains(".png or .jpg"));
  CHECK_THROWS_WITH(write_image(folder / "none/a.png", Image(2, 2)), Contains("a.png cannot be written"));
  CHECK_THROWS_WITH(encode_png(Image()), Contains("0 x 0 pixels"));
  CHECK_THROWS_WITH(encode_jpeg(Image(0, 3)), Contains("0 x 3 pixels"));
  CHECK_THROWS_WITH(encode_jpeg(Image(2, 2), 0), Contains("quality is 0"));
  CHECK(std::filesystem::is_empty(folder.path()));
  CHECK(has_image_ending("a/b.PNG"));
  CHECK(has_image_ending("x.jpeg"));
  CHECK_FALSE(has_image_ending("x.psd"));
  CHECK_FALSE(has_image_ending("jpg"));
}

TEST_CASE("photographs of the test data") {
  const auto photos = test_data("test_photos");
  if (!photos) {
    WARN("the folder test_photos is missing in the test data: only the images made here were tested");
    return;
  }
  const auto check_size = [&](const char* name, int width, int height) {
    INFO(name);
    const Image image = read_image(*photos + "/" + name);
    CHECK(image.width == width);
    CHECK(image.height == height);
    return image;
  };
  const Image upright = check_size("Landscape_1.jpg", 1800, 1200);
  const Image turned = check_size("Landscape_6.jpg", 1800, 1200);
  const double size = double(upright.pixels.size());
  double difference = 0, upside_down = 0;
  for (size_t i = 0; i < upright.pixels.size(); ++i) {
    difference += std::abs(upright.pixels[i] - turned.pixels[i]) / size;
    upside_down += std::abs(upright.pixels[i] - turned.pixels[upright.pixels.size() - 1 - i]) / size;
  }
  CHECK(difference < 5);  // the same photograph, compressed again
  CHECK(upside_down > 20);
  check_size("Portrait_8.jpg", 1200, 1800);
  check_size("grace_hopper.bmp", 512, 600);
  check_size("palette_color.png", 10, 10);
  check_size("chelsea.png", 451, 300);
  CHECK_THROWS_WITH(read_image(*photos + "/broken/truncated.jpg"), Contains("truncated.jpg is cut short"));
}
