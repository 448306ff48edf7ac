#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "train/data/image/image.h"

namespace fovea {

// Decoders for decode_image() from libraries that not every build has: libwebp (FOVEA_WEBP) and libtiff
// (FOVEA_TIFF), which decodes the first page. Alpha is dropped. Each throws Error naming the file if the
// build lacks the library, or the bytes cannot be decoded.
struct StoredSize {
  int width = 0, height = 0, orientation = 1;  // of EXIF 2.3
};
StoredSize webp_size(std::string_view bytes, const std::string& name);
Image decode_webp(std::string_view bytes, const std::string& name);
StoredSize tiff_size(std::string_view bytes, const std::string& name);
Image decode_tiff(std::string_view bytes, const std::string& name);

// Converts 1 to 4 channels of 16 bits, of which the second or fourth is alpha, to their upper 8 bits. If the
// image has no value above 4095, like that of a 12-bit camera, the values are stretched over the whole range,
// with a note (set_image_notes).
Image from_16_bits(const uint16_t* pixels, int width, int height, int channels, const std::string& name);

}  // namespace fovea
