// Images of the formats that libwebp, libtiff and stb_image's GIF reader decode. All show the picture of
// tests/golden/make_images.py: red, blue, green and white quarters of 24 x 16 pixels.
#include "train/data/image/optional_formats.h"

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>

#include "core/error.h"
#include "core/file.h"
#include "tests/support/test_data.h"
#include "train/data/image/image_io.h"

using namespace fovea;
using namespace std::string_literals;
using Catch::Contains;

namespace {

std::string golden(const std::string& name) {
  return std::string(FOVEA_SOURCE_DIR) + "/tests/golden/images/" + name;
}

// Above left, above right, below left, below right.
std::vector<int> quarters(const Image& image) {
  std::vector<int> all;
  for (const int y : {image.height / 4, image.height * 3 / 4})
    for (const int x : {image.width / 4, image.width * 3 / 4})
      all.insert(all.end(), image.at(x, y), image.at(x, y) + 3);
  return all;
}

const std::vector<int> upright{255, 0, 0, 0, 0, 255, 0, 255, 0, 255, 255, 255};
const std::vector<int> turned{0, 255, 0, 255, 0, 0, 255, 255, 255, 0, 0, 255};  // clockwise

// Collects the notes while it exists.
struct Notes {
  std::vector<std::string> all;
  Notes() {
    set_image_notes([this](const std::string& text) { all.push_back(text); });
  }
  ~Notes() { set_image_notes({}); }
};

}  // namespace

TEST_CASE("WebP, TIFF and GIF are decoded to their pixels, and turned upright") {
  const auto check = [](const char* name, const char* format, int orientation,
                        const std::vector<int>& expected, int tolerance) {
    CAPTURE(name);
    const ImageHeader header = read_image_header(golden(name));
    CHECK(header.format == std::string(format));
    CHECK(header.orientation == orientation);
    const Image image = read_image(golden(name));
    CHECK((image.width == header.width && image.height == header.height));
    CHECK((image.width == (orientation > 4 ? 16 : 24) && image.height == (orientation > 4 ? 24 : 16)));
    const std::vector<int> found = quarters(image);
    for (size_t i = 0; i < found.size(); ++i) CHECK(std::abs(found[i] - expected[i]) <= tolerance);
    CHECK(has_image_ending(name));
  };
  check("lossless.webp", "WebP", 1, upright, 0);
  check("lossy.webp", "WebP", 6, turned, 12);
  check("palette.gif", "GIF", 1, upright, 0);
  check("lzw.tif", "TIFF", 1, upright, 0);
  check("turned.tif", "TIFF", 6, turned, 0);
  CHECK(quarters(read_image(golden("fax.tif"))).back() == 255);
  CHECK(has_image_ending("a.TIFF"));
  CHECK_THROWS_WITH(read_image(golden("animated.webp")), Contains("animated.webp is an animation"));
}

TEST_CASE("12 bits in 16 are stretched over the whole range, with a note") {
  for (const char* name : {"twelve_bits.tif", "twelve_bits.png"}) {
    CAPTURE(name);
    const Notes notes;
    CHECK(quarters(read_image(golden(name))) ==
          std::vector<int>{0, 0, 0, 64, 64, 64, 128, 128, 128, 255, 255, 255});
    REQUIRE(notes.all.size() == 1);
    CHECK_THAT(notes.all[0], Contains(name) && Contains("has 16 bits and no value above 4095"));
  }
  const Notes notes;
  const uint16_t rgba[] = {4096, 256, 0, 65535, 65535, 511, 255, 0}, black[] = {0, 0};
  CHECK(from_16_bits(rgba, 1, 2, 4, "a").pixels == std::vector<uint8_t>{16, 1, 0, 255, 1, 0});
  CHECK(from_16_bits(black, 2, 1, 1, "b").pixels == std::vector<uint8_t>(6));
  CHECK(notes.all.empty());
}

TEST_CASE("WebP, TIFF and GIF files that are cut short or damaged are errors") {
  for (const char* name :
       {"lossless.webp", "lossy.webp", "palette.gif", "lzw.tif", "turned.tif", "twelve_bits.tif"}) {
    const std::string whole = read_file(golden(name));
    CAPTURE(name);
    // GIF: after the picture only the end of the file is left, which nothing depends on.
    const size_t needed = name == "palette.gif"s ? whole.size() - 1 : whole.size();
    for (size_t size = 0; size < needed; ++size)
      CHECK_THROWS_AS(decode_image(whole.substr(0, size), name), Error);
    for (size_t at = 0; at < whole.size(); ++at) {  // a result or an Error, but no crash
      std::string damaged = whole;
      damaged[at] = char(damaged[at] ^ 0x5A);
      try {
        const Image image = decode_image(damaged, name);
        CHECK(image.pixels.size() == size_t(image.width) * size_t(image.height) * 3);
      } catch (const Error&) {
      }
    }
  }
}

TEST_CASE("a small file that claims to be a huge WebP, GIF or TIFF takes no memory") {
  std::string gif = read_file(golden("palette.gif"));
  gif[6] = gif[8] = '\0', gif[7] = gif[9] = '\x40';  // 16384 x 16384
  CHECK_THROWS_WITH(decode_image(gif, "a.gif"), Contains("which its") && Contains("bytes cannot hold"));
  gif[9] = '\x41';
  CHECK_THROWS_WITH(decode_image(gif, "a.gif"), Contains("is 16384 x 16640 pixels: at most 16384"));
  CHECK_THROWS_WITH(decode_image("version https://git-lfs.github.com/spec/v1\noid", "a.jpg"),
                    Contains("a.jpg is not a readable image: it is a Git LFS pointer"));
}
