#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace fovea {

// What the container around an image shows without decoding the image.
struct ImageContainer {
  const char* format = "";  // JPEG, PNG, BMP, GIF, WebP or TIFF
  bool complete = false;    // the file contains the image's end
  bool sound = true;        // false: its Huffman tables are impossible in a JPEG
  bool one_scan = false;    // a JPEG whose pixels are all in one sequential scan, as in nearly all files
  bool has_huffman_tables = false;  // whether a JPEG defines any
  std::string exif;                 // "Exif\0\0" and the TIFF block after it; empty if the file has none
};

// Walks the segments of a JPEG, the chunks of a PNG, the header of a BMP, the blocks of a GIF up to the end
// of its first picture, or the chunks of a WebP. The parts of a TIFF lie anywhere, so only its decoder can
// check it. When a file is cut short a decoder reports only where it failed, and stb_image silently fills up
// a BMP with black, so this function looks for the end. Returns nothing if the bytes are of none of these
// formats. With `header_only` a JPEG is read up to its first scan, so that little of a mapped file is
// touched, and `complete` has no meaning.
std::optional<ImageContainer> read_image_container(std::string_view bytes, bool header_only = false);

}  // namespace fovea
