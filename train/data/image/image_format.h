#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace fovea {

// What the container around an image tells, without the image being decoded.
struct ImageContainer {
  const char* format = "";  // JPEG, PNG, BMP, GIF, WebP or TIFF
  bool complete = false;    // the file reaches to the image's end
  bool sound = true;        // false: no JPEG can have its Huffman tables
  bool one_scan = false;    // a JPEG whose pixels are all in one sequential scan, as nearly all have them
  bool has_huffman_tables = false;  // a JPEG defines some
  std::string exif;                 // "Exif\0\0" and the TIFF block after it; empty where the file has none
};

// Walks the segments of a JPEG, the chunks of a PNG, the header of a BMP, the blocks of a GIF up to the end
// of its first picture, or the chunks of a WebP; of a TIFF, whose parts lie anywhere, only its decoder tells.
// When a file is cut short a decoder tells only where it stumbled, and stb_image silently fills up a BMP with
// black, so the end is looked for here. Returns nothing where the bytes are of none of these formats.
// `header_only`: a JPEG is read up to its first scan, so that little of a mapped file is touched; `complete`
// means nothing then.
std::optional<ImageContainer> read_image_container(std::string_view bytes, bool header_only = false);

}  // namespace fovea
