// Images: JPEG, PNG, BMP and the EXIF block in them.
#include "tests/fuzz/harness.h"
#include "train/data/image/image_io.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fovea;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  ImageHeader header;
  result_or_error([&] { header = decode_image_header(bytes, "image"); });
  // Millions of pixels run the same code as thousands, only slowly.
  constexpr int64_t max_pixels = 1 << 18;
  if (int64_t(header.width) * header.height > max_pixels) return 0;
  result_or_error([&] {
    const Image image = decode_image(bytes, "image");
    expect(image.width == header.width && image.height == header.height);
    expect(image.pixels.size() == size_t(image.width) * size_t(image.height) * 3);
  });
  return 0;
}
