#include "train/report/report_images.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "train/data/image/image_io.h"
#include "train/report/html.h"

namespace fovea {
namespace {

constexpr int longest_side = 800;  // of an image in the page: it is shown at half the page's width

// Means of blocks of pixels, the smallest blocks that bring the longer side down to longest_side.
Image reduced(const Image& image) {
  const int factor = (std::max(image.width, image.height) + longest_side - 1) / longest_side;
  if (factor <= 1) return image;
  Image small(std::max(1, image.width / factor), std::max(1, image.height / factor));
  for (int y = 0; y < small.height; ++y)
    for (int x = 0; x < small.width; ++x) {
      const int x_end = std::min(image.width, (x + 1) * factor),
                y_end = std::min(image.height, (y + 1) * factor);
      std::array<int, 3> sums{};
      int count = 0;
      for (int row = y * factor; row < y_end; ++row)
        for (int column = x * factor; column < x_end; ++column, ++count)
          for (size_t channel = 0; channel < 3; ++channel) sums[channel] += image.at(column, row)[channel];
      for (size_t channel = 0; channel < 3; ++channel)
        small.at(x, y)[channel] = uint8_t((sums[channel] + count / 2) / count);
    }
  return small;
}

std::string data_url(const Image& small) { return "data:image/jpeg;base64," + base64(encode_jpeg(small)); }

std::string half(const Image& image, const char* label, const std::string& caption) {
  const Image small = reduced(image);
  return fmt::format(
      "<div><span>{0}</span><img alt=\"{1}: {0}\" width=\"{2}\" height=\"{3}\" src=\"{4}\"></div>\n", label,
      escape_html(caption), small.width, small.height, data_url(small));
}

std::string single(const Image& image, const std::string& caption) {
  const Image small = reduced(image);
  return fmt::format("<img class=\"single\" alt=\"{}\" width=\"{}\" height=\"{}\" src=\"{}\">\n",
                     escape_html(caption), small.width, small.height, data_url(small));
}

}  // namespace

std::string image_figure(const ReportImage& image) {
  const std::string why = image.why.empty() ? "" : "<p>" + escape_html(image.why) + "</p>\n";
  const std::string images = image.detections.pixels.empty()
                                 ? single(image.truth, image.caption)
                                 : "<div class=\"pair\">\n" + half(image.truth, "truth", image.caption) +
                                       half(image.detections, "detections", image.caption) + "</div>";
  return fmt::format("<figure class=\"card\"><figcaption>{}</figcaption>{}{}</figure>\n",
                     escape_html(image.caption), why, images);
}

}  // namespace fovea
