#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "train/data/image/image.h"

namespace fovea {

// What decode_image() gets from libraries that not every build has: libwebp (FOVEA_WEBP) and libtiff
// (FOVEA_TIFF), of which it takes the first page. Alpha is dropped. Each throws Error naming the file where
// the build lacks the library, or the bytes cannot be decoded.
struct StoredSize {
  int width = 0, height = 0, orientation = 1;  // of EXIF 2.3
};
StoredSize webp_size(std::string_view bytes, const std::string& name);
Image decode_webp(std::string_view bytes, const std::string& name);
StoredSize tiff_size(std::string_view bytes, const std::string& name);
Image decode_tiff(std::string_view bytes, const std::string& name);

// 8 bits of 1 to 4 channels of 16, the second or fourth being alpha: the upper 8. Of an image without a value
// above 4095, as a camera of 12 bits makes them, these are stretched over the whole range, with a note
// (set_image_notes).
Image from_16_bits(const uint16_t* pixels, int width, int height, int channels, const std::string& name);

}  // namespace fovea
