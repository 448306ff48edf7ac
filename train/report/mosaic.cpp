#include "train/report/mosaic.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "train/data/image/image_io.h"
#include "train/report/draw.h"

namespace fovea {
namespace {

constexpr int tile_width = 400, gap = 4, columns = 4;
constexpr size_t max_tiles = 16;

// Means over the source pixels under each pixel.
Image scaled(const Image& image, int width, int height) {
  Image result(width, height);
  for (int y = 0; y < height; ++y) {
    const int top = int(int64_t(y) * image.height / height);
    const int bottom = std::max(top + 1, int(int64_t(y + 1) * image.height / height));
    for (int x = 0; x < width; ++x) {
      const int left = int(int64_t(x) * image.width / width);
      const int right = std::max(left + 1, int(int64_t(x + 1) * image.width / width));
      int64_t sums[3] = {};
      for (int v = top; v < bottom; ++v)
        for (int u = left; u < right; ++u)
          for (int c = 0; c < 3; ++c) sums[c] += image.at(u, v)[c];
      for (int c = 0; c < 3; ++c)
        result.at(x, y)[c] = uint8_t(sums[c] / (int64_t(bottom - top) * (right - left)));
    }
  }
  return result;
}

// The image with its boxes, to fit into a tile. They are drawn at the tile's size, so that lines and
// letters are too.
Image tile(const LabelledImage& labelled, const std::vector<std::string>& class_names, int tile_height) {
  const Image image = read_image(labelled.file);
  const double scale = std::min(double(tile_width) / image.width, double(tile_height) / image.height);
  std::vector<Annotation> annotations = labelled.annotations;
  for (Annotation& a : annotations) a.x *= scale, a.y *= scale, a.width *= scale, a.height *= scale;
  const auto side = [&](int pixels) { return std::max(1, int(std::lround(pixels * scale))); };
  return draw_annotations(scaled(image, side(image.width), side(image.height)), annotations, class_names);
}

int suited_height(const std::vector<const LabelledImage*>& images) {
  std::vector<double> aspects;  // height / width
  for (const LabelledImage* image : images)
    aspects.push_back(double(image->height) / std::max(1, image->width));
  std::nth_element(aspects.begin(), aspects.begin() + long(aspects.size() / 2), aspects.end());
  return int(std::clamp(aspects[aspects.size() / 2], 0.25, 2.0) * tile_width);
}

}  // namespace

Image draw_mosaic(const std::vector<const LabelledImage*>& images,
                  const std::vector<std::string>& class_names) {
  require(!images.empty(), "[mosaic] there is no image to draw");
  const int height = suited_height(images);
  const size_t tiles = std::min(images.size(), max_tiles);
  std::vector<Image> drawn;
  std::string reason;
  for (size_t i = 0; i < tiles; ++i) try {
      drawn.push_back(tile(*images[i * images.size() / tiles], class_names, height));
    } catch (const Error& error) {
      reason = error.what();
    }
  require(!drawn.empty(), "[mosaic] no image can be drawn: {}", reason);
  return arrange(drawn, tile_width, height);
}

Image arrange(const std::vector<Image>& images, int width, int height) {
  require(!images.empty(), "[mosaic] there is no image to arrange");
  const int across = std::min(columns, int(images.size())), down = (int(images.size()) + across - 1) / across;
  Image all(across * (width + gap) - gap, down * (height + gap) - gap);
  for (size_t i = 0; i < images.size(); ++i) {
    const int left = int(i) % across * (width + gap), top = int(i) / across * (height + gap);
    for (int y = 0; y < std::min(height, images[i].height); ++y)
      std::copy_n(images[i].at(0, y), size_t(std::min(width, images[i].width)) * 3, all.at(left, top + y));
  }
  return all;
}

}  // namespace fovea
