#include "train/data/image/optional_formats.h"

#include <algorithm>
#include <cstdarg>
#include <cstring>
#include <memory>

#include "core/error.h"

#ifdef FOVEA_WEBP
#include <webp/decode.h>
#endif
#ifdef FOVEA_TIFF
#include <tiffio.h>
#endif

namespace fovea {

#ifdef FOVEA_WEBP

StoredSize webp_size(std::string_view bytes, const std::string& name) {
  WebPBitstreamFeatures found;
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  require(WebPGetFeatures(data, bytes.size(), &found) == VP8_STATUS_OK,
          "{} cannot be decoded: its WebP header is damaged", name);
  require(!found.has_animation, "{} is an animation: save one of its pictures", name);
  return {found.width, found.height};
}

Image decode_webp(std::string_view bytes, const std::string& name) {
  const StoredSize size = webp_size(bytes, name);
  Image image(size.width, size.height);
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  require(WebPDecodeRGBInto(data, bytes.size(), image.pixels.data(), image.pixels.size(), size.width * 3),
          "{} cannot be decoded: its WebP data are damaged", name);
  return image;
}

#else

StoredSize webp_size(std::string_view, const std::string& name) {
  fail("{} is a WebP image, which this build cannot read: install libwebp-dev, and build Fovea again", name);
}
Image decode_webp(std::string_view, const std::string&) { return {}; }  // webp_size() has already thrown

#endif
#ifdef FOVEA_TIFF

namespace {

// A TIFF in memory, as libtiff reads it.
class TiffFile {
 public:
  TiffFile(std::string_view bytes, const std::string& name) : bytes_(bytes), tiff_(nullptr, TIFFClose) {
    constexpr tmsize_t most_memory = tmsize_t(1) << 28;  // of a table in the file
    const std::unique_ptr<TIFFOpenOptions, decltype(&TIFFOpenOptionsFree)> options(TIFFOpenOptionsAlloc(),
                                                                                   TIFFOpenOptionsFree);
    const auto silent = [](TIFF*, void*, const char*, const char*, va_list) { return 1; };
    TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(), most_memory);
    TIFFOpenOptionsSetErrorHandlerExtR(options.get(), silent, nullptr);
    TIFFOpenOptionsSetWarningHandlerExtR(options.get(), silent, nullptr);
    const auto write = [](thandle_t, void*, tmsize_t) { return tmsize_t(-1); };
    const auto size = [](thandle_t file) { return toff_t(static_cast<TiffFile*>(file)->bytes_.size()); };
    tiff_.reset(TIFFClientOpenExt(
        name.c_str(), "rm", this, read, write, seek, [](thandle_t) { return 0; }, size, nullptr, nullptr,
        options.get()));
    require(tiff_ != nullptr, "{} cannot be decoded: its TIFF header is damaged", name);
  }

  TIFF* tiff() const { return tiff_.get(); }
  int field(uint32_t tag) const {
    uint16_t value = 0;
    return TIFFGetFieldDefaulted(tiff(), tag, &value) ? value : 0;
  }
  StoredSize size() const {
    uint32_t width = 0, height = 0;
    TIFFGetField(tiff(), TIFFTAG_IMAGEWIDTH, &width);
    TIFFGetField(tiff(), TIFFTAG_IMAGELENGTH, &height);
    const int orientation = field(TIFFTAG_ORIENTATION);
    return {int(width), int(height), orientation >= 1 && orientation <= 8 ? orientation : 1};
  }

 private:
  static tmsize_t read(thandle_t file, void* to, tmsize_t size) {
    auto& [bytes, at, tiff] = *static_cast<TiffFile*>(file);
    const std::string_view part = bytes.substr(std::min(at, bytes.size()), size_t(size));
    if (!part.empty()) std::memcpy(to, part.data(), part.size());
    at += part.size();
    return tmsize_t(part.size());
  }
  static toff_t seek(thandle_t file, toff_t offset, int from) {
    auto& [bytes, at, tiff] = *static_cast<TiffFile*>(file);
    return at = size_t(offset) + (from == SEEK_CUR ? at : from == SEEK_END ? bytes.size() : 0);
  }

  std::string_view bytes_;
  size_t at_ = 0;
  std::unique_ptr<TIFF, decltype(&TIFFClose)> tiff_;
};

}  // namespace

StoredSize tiff_size(std::string_view bytes, const std::string& name) { return TiffFile(bytes, name).size(); }

Image decode_tiff(std::string_view bytes, const std::string& name) {
  const TiffFile file(bytes, name);
  const auto [width, height, orientation] = file.size();
  const int channels = file.field(TIFFTAG_SAMPLESPERPIXEL), colours = file.field(TIFFTAG_PHOTOMETRIC);
  const size_t row = size_t(width) * size_t(channels);
  bool good = true;
  // Reads rows of 16 bits as they are, since libtiff's own conversion to 8 bits cuts off the lower ones.
  if (file.field(TIFFTAG_BITSPERSAMPLE) == 16 && channels >= 1 && channels <= 4 &&
      !TIFFIsTiled(file.tiff()) && (colours == PHOTOMETRIC_MINISBLACK || colours == PHOTOMETRIC_RGB) &&
      file.field(TIFFTAG_SAMPLEFORMAT) == SAMPLEFORMAT_UINT &&
      file.field(TIFFTAG_PLANARCONFIG) == PLANARCONFIG_CONTIG && TIFFScanlineSize64(file.tiff()) == row * 2) {
    std::vector<uint16_t> pixels(row * size_t(height));
    for (int y = 0; y < height && good; ++y)
      good = TIFFReadScanline(file.tiff(), &pixels[size_t(y) * row], uint32_t(y), 0) == 1;
    if (good) return from_16_bits(pixels.data(), width, height, channels, name);
  }
  std::vector<uint32_t> raster(size_t(width) * size_t(height));
  good = good && TIFFReadRGBAImageOriented(file.tiff(), uint32_t(width), uint32_t(height), raster.data(),
                                           orientation, 1) == 1;
  require(good, "{} cannot be decoded: its TIFF data are damaged, cut short, or of an unsupported kind",
          name);
  Image image(width, height);
  for (size_t i = 0; i < raster.size(); ++i)
    for (size_t c = 0; c < 3; ++c) image.pixels[i * 3 + c] = uint8_t(raster[i] >> 8 * c);
  return image;
}

#else

StoredSize tiff_size(std::string_view, const std::string& name) {
  fail("{} is a TIFF image, which this build cannot read: install libtiff-dev, and build Fovea again", name);
}
Image decode_tiff(std::string_view, const std::string&) { return {}; }  // tiff_size() has already thrown

#endif

}  // namespace fovea
