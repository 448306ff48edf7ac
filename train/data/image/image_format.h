#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace fovea {

// What the container around an image tells without decoding it.
struct ImageContainer {
  const char* format = "";  // JPEG, PNG or BMP
  bool complete = false;    // the file reaches to the image's end
  bool sound = true;        // false: what it says of itself cannot be
  std::string exif;         // "Exif\0\0" and the TIFF block after it; empty where the file has none
};

// Walks the segments of a JPEG, the chunks of a PNG or the header of a BMP. Of a file cut short a decoder
// tells only where it stumbled, and stb_image fills up a BMP with black and says nothing, so the end is
// looked for here. Nothing where the bytes are of none of the three formats. `header_only`: a JPEG is read up
// to its first scan, so that little of a mapped file is touched; `complete` says nothing then.
std::optional<ImageContainer> read_image_container(std::string_view bytes, bool header_only = false);

}  // namespace fovea
