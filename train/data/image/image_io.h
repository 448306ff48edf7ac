#pragma once
#include <array>
#include <functional>
#include <string>
#include <string_view>

#include "train/data/image/image.h"

namespace fovea {

// Decodes a JPEG, PNG, BMP, GIF (the first picture), WebP or TIFF (the first page) file, recognised by its
// content, to 8-bit RGB: grey is repeated, a palette is looked up, 16 bits are cut to 8 or, if they hold 12,
// stretched (set_image_notes), and alpha is dropped. WebP and TIFF need a build with libwebp and libtiff. The
// image is turned upright as its EXIF orientation says. Throws Error naming the file if it cannot be opened,
// is empty, is not an image, is cut short or damaged, or is larger than 16384 pixels on a side. May be called
// from many threads.
Image read_image(const std::string& path);

// The same from bytes in memory; `name` stands for the file in errors.
Image decode_image(std::string_view bytes, const std::string& name);

// Which library decodes JPEGs in this build: "libjpeg-turbo", or "stb_image" if it was built without that.
// The values of a pixel differ by up to 3 of 255, so the same training on JPEGs ends with other bits.
const char* jpeg_decoder();

// Sets the function that is called, from the decoding thread, with a sentence about each image that was read
// in a way that may surprise. A program calls this once, before anything is read.
void set_image_notes(std::function<void(const std::string&)> on_note);

// The header of an image file.
struct ImageHeader {
  const char* format = "";    // JPEG, PNG, BMP, GIF, WebP or TIFF
  int width = 0, height = 0;  // upright, as decode_image gives it
  int orientation =
      1;  // of EXIF 2.3; 1: stored upright; from 5 on width and height are stored the other way round
};

// How the stored image becomes the upright one: first it is mirrored, then rows become columns.
struct Turn {
  bool mirror_x, mirror_y, transposed;
};
Turn turn_of(int orientation);  // 1 to 8

// Reads the header and decodes nothing. Throws Error naming the file if it cannot be opened, is empty or is
// not an image.
ImageHeader read_image_header(const std::string& path);
ImageHeader decode_image_header(std::string_view bytes, const std::string& name);

// The extensions of the files that read_image reads.
inline constexpr std::array image_endings{".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"};

// Whether the name has one of them, in upper or lower case.
bool has_image_ending(const std::string& path);

// Writes .png or .jpg (quality 92), atomically. Throws Error on another extension, or if the file cannot be
// written.
void write_image(const std::string& path, const Image& image);

// The image as the bytes of a PNG or (quality 1 to 100) a JPEG file; for images inside a page. Throws Error
// if the image has no pixels.
std::string encode_png(const Image& image);
std::string encode_jpeg(const Image& image, int quality = 85);

}  // namespace fovea
