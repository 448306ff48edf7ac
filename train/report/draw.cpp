#include "train/report/draw.h"

#include <fmt/format.h>
#include <stb/stb_easy_font.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>

#include "core/error.h"

namespace fovea {
namespace {

struct Colour {
  double red, green, blue;  // 0 to 255
};

constexpr Colour black{0, 0, 0}, white{255, 255, 255};

// Hues a golden section of the circle apart: however many classes there are, neighbours differ and none
// repeats. Every third one is darker, which distinguishes hues that are close.
Colour class_colour(int label) {
  const double hue = std::fmod(0.58 + label * 0.61803398875, 1.0) * 6, value = label % 3 == 2 ? 215 : 255;
  const auto channel = [&](double peak) {
    const double distance =
        std::abs(std::fmod(hue - peak + 9, 6.0) - 3);  // 0 at the hue where the channel is full
    return value * (1 - 0.72 * std::clamp(distance - 1, 0.0, 1.0));
  };
  return {channel(0), channel(2), channel(4)};
}

double brightness(const Colour& colour) {
  return 0.299 * colour.red + 0.587 * colour.green + 0.114 * colour.blue;
}

// Whole pixels, right and bottom excluded.
struct Rectangle {
  int left, top, right, bottom;
};

// Draws into an image, cutting off at its edges. All sizes are in units of `scale` pixels, so that frames
// and text keep their proportion to the image.
class Painter {
 public:
  // Letters of 7 pixels up to 400 pixels of image, then of 14, and so on.
  explicit Painter(Image& image)
      : image_(image), scale_(std::max(1, (std::min(image.width, image.height) + 80) / 240)) {}

  // A frame just inside the box, with a dark line on both sides that separates it from a background of the
  // same colour.
  void frame(const Rectangle& box, const Colour& colour, bool dashed) {
    const int thickness = scale_ + 1;
    band(box, -1, thickness + 1, black, 0.45, false);
    band(box, 0, thickness, colour, 1, dashed);
  }

  // The text on a plate of the class's colour, on top of the box or, where there is no room, inside it.
  void label(const Rectangle& box, const std::string& text, const Colour& colour) {
    const std::vector<Rectangle> strokes = text_strokes(text);
    const int margin = 2 * scale_, height = 8 * scale_ + 2 * margin;
    int text_width = 0;
    for (const Rectangle& stroke : strokes) text_width = std::max(text_width, stroke.right * scale_);
    const int width = text_width + 2 * margin;
    const int left = std::max(0, std::min(box.left, image_.width - width));
    const int top = box.top >= height ? box.top - height : box.top;
    fill({left - 1, top - 1, left + width + 1, top + height + 1}, black, 0.45);
    fill({left, top, left + width, top + height}, colour, 1);
    const Colour ink = brightness(colour) > 140 ? black : white;
    const int x = left + margin, y = top + margin;
    for (const Rectangle& stroke : strokes)
      fill({x + stroke.left * scale_, y + stroke.top * scale_, x + stroke.right * scale_,
            y + stroke.bottom * scale_},
           ink, 1);
  }

 private:
  // Mixes the colour into the part of the rectangle that lies in the image.
  void fill(const Rectangle& r, const Colour& colour, double opacity) {
    const std::array target{colour.red, colour.green, colour.blue};
    for (int y = std::max(0, r.top); y < std::min(image_.height, r.bottom); ++y)
      for (int x = std::max(0, r.left); x < std::min(image_.width, r.right); ++x)
        for (int c = 0; c < 3; ++c) {
          uint8_t& pixel = image_.at(x, y)[c];
          pixel = uint8_t(std::lround(pixel + (target[size_t(c)] - pixel) * opacity));
        }
  }

  // The ring between the box shrunk by `from` and by `to` pixels on each side.
  void band(const Rectangle& box, int from, int to, const Colour& colour, double opacity, bool dashed) {
    const Rectangle outer{box.left + from, box.top + from, box.right - from, box.bottom - from};
    const int thick_x = std::min(to - from, (outer.right - outer.left + 1) / 2);
    const int thick_y = std::min(to - from, (outer.bottom - outer.top + 1) / 2);
    const int dash = 4 * scale_;
    const auto line = [&](const Rectangle& r, bool across) {
      if (!dashed) return fill(r, colour, opacity);
      const int end = across ? r.right : r.bottom;
      for (int at = across ? r.left : r.top; at < end; at += 2 * dash) {
        const int stop = std::min(end, at + dash);
        fill(across ? Rectangle{at, r.top, stop, r.bottom} : Rectangle{r.left, at, r.right, stop}, colour,
             opacity);
      }
    };
    line({outer.left, outer.top, outer.right, outer.top + thick_y}, true);
    line({outer.left, outer.bottom - thick_y, outer.right, outer.bottom}, true);
    line({outer.left, outer.top + thick_y, outer.left + thick_x, outer.bottom - thick_y}, false);
    line({outer.right - thick_x, outer.top + thick_y, outer.right, outer.bottom - thick_y}, false);
  }

  // The strokes of stb_easy_font, which come as quads of four corners of (x, y, z, colour) each, in units of
  // a font pixel.
  static std::vector<Rectangle> text_strokes(const std::string& text) {
    std::string printable;
    for (const char c : text) {
      const bool continues = (static_cast<unsigned char>(c) & 0xC0) == 0x80;  // of a character in UTF-8
      if (!continues) printable += c >= ' ' && c <= '~' ? c : '?';            // the font has ASCII only
    }
    struct Corner {
      float x, y, z;
      unsigned char colour[4];
    };
    std::vector<Corner> corners(printable.size() * 64 + 4);
    const int quads = stb_easy_font_print(0, 0, printable.data(), nullptr, corners.data(),
                                          int(corners.size() * sizeof(Corner)));
    std::vector<Rectangle> strokes;
    for (int i = 0; i < quads; ++i) {
      const Corner &first = corners[size_t(i) * 4], &opposite = corners[size_t(i) * 4 + 2];
      strokes.push_back({int(first.x), int(first.y), int(opposite.x), int(opposite.y)});
    }
    return strokes;
  }

  Image& image_;
  int scale_;
};

// The pixels that a box touches, inside the image. max(0, NaN) is 0.
Rectangle pixels_of(double left, double top, double right, double bottom, const Image& image) {
  const auto limit = [](double v, int size) { return int(std::min(double(size), std::max(0.0, v))); };
  return {limit(std::floor(left), image.width), limit(std::floor(top), image.height),
          limit(std::ceil(right), image.width), limit(std::ceil(bottom), image.height)};
}

struct Item {
  Rectangle box;
  int label;
  std::string text;
  bool dashed;
};

// Later items lie over earlier ones, and every text over every frame.
Image draw(Image image, const std::vector<Item>& items) {
  Painter painter(image);
  for (const Item& item : items) painter.frame(item.box, class_colour(item.label), item.dashed);
  for (const Item& item : items)
    if (!item.text.empty()) painter.label(item.box, item.text, class_colour(item.label));
  return image;
}

const std::string& name_of(int label, const std::vector<std::string>& class_names) {
  require(label >= 0 && size_t(label) < class_names.size(),
          "[draw] a box has label {}, but there are {} class names: give the names that the labels index",
          label, class_names.size());
  return class_names[size_t(label)];
}

bool has_area(const Rectangle& r) { return r.left < r.right && r.top < r.bottom; }

}  // namespace

Image draw_detections(const Image& image, std::span<const Detection> detections,
                      const std::vector<std::string>& class_names, double score_threshold) {
  std::vector<Detection> shown;
  std::copy_if(detections.begin(), detections.end(), std::back_inserter(shown),
               [&](const Detection& d) { return d.score >= score_threshold; });
  std::stable_sort(shown.begin(), shown.end(),
                   [](const Detection& a, const Detection& b) { return a.score < b.score; });
  std::vector<Item> items;
  for (const Detection& d : shown) {
    const Rectangle box = pixels_of(d.box.xmin, d.box.ymin, d.box.xmax, d.box.ymax, image);
    const std::string text = fmt::format("{} {:.2f}", name_of(d.label, class_names), d.score);
    if (has_area(box)) items.push_back({box, d.label, text, false});
  }
  return draw(image, items);
}

Image draw_boxes(const Image& image, std::span<const DrawnBox> boxes) {
  std::vector<Item> items;
  for (const DrawnBox& b : boxes) {
    const Rectangle box = pixels_of(b.left, b.top, b.right, b.bottom, image);
    if (has_area(box)) items.push_back({box, b.label, b.text, b.dashed});
  }
  return draw(image, items);
}

Image draw_annotations(const Image& image, std::span<const Annotation> annotations,
                       const std::vector<std::string>& class_names) {
  std::vector<Item> items;
  for (const Annotation& a : annotations) {
    const Rectangle box = pixels_of(a.x, a.y, a.x + a.width, a.y + a.height, image);
    const std::string text = name_of(a.label, class_names) + (a.crowd ? " (crowd)" : "");
    if (has_area(box)) items.push_back({box, a.label, text, a.crowd});
  }
  return draw(image, items);
}

}  // namespace fovea
