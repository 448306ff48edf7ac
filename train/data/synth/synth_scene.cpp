#include "train/data/synth/synth_scene.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "train/data/synth/synth_shapes.h"
#include "train/data/synth/synth_texture.h"

namespace fovea {
namespace {

constexpr double smallest = 0.11,
                 largest = 0.58;      // a shape's longer side, as a share of the image's shorter side
constexpr double empty_share = 0.02;  // images without any object
constexpr double min_visible = 0.6;   // of every object, after all others are drawn
constexpr double min_inside = 0.8;    // of every object; the rest is beyond the edge of the image
// Two boxes that overlap more look like one object found twice, to non-maximum suppression and to people.
constexpr double largest_iou = 0.25;
constexpr float min_contrast =
    0.35f;  // distance of an object's first colour from what is behind it; half for its second

class Canvas {
 public:
  Canvas(int width, int height) : width_(width), height_(height), pixels_(size_t(width) * height) {}
  int width() const { return width_; }
  int height() const { return height_; }
  int shorter() const { return std::min(width_, height_); }
  Colour& at(int x, int y) { return pixels_[size_t(y) * width_ + x]; }
  void cover(int x, int y, const Colour& colour, float opacity) { at(x, y) = mix(at(x, y), colour, opacity); }

  // As bytes, with the grain of a camera's sensor: the sum of a word's four bytes is close to a normal
  // distribution.
  Image to_image(float grain, Random& random) const {
    Image image(width_, height_);
    constexpr float deviation_of_sum = 147.8f;  // of four bytes
    uint8_t* byte = image.pixels.data();
    for (const Colour& colour : pixels_) {
      const uint32_t word = random.bits();
      const int sum = int(word & 255) + int(word >> 8 & 255) + int(word >> 16 & 255) + int(word >> 24);
      const float noise = grain * (float(sum) - 510) / deviation_of_sum;
      for (const float channel : {colour.red, colour.green, colour.blue})
        *byte++ = uint8_t(std::clamp((channel + noise) * 255 + 0.5f, 0.0f, 255.0f));
    }
    return image;
  }

 private:
  int width_, height_;
  std::vector<Colour> pixels_;
};

// Calm colours that lie close to each other, so that objects stand out.
void paint_background(Canvas& canvas, Random& random) {
  constexpr TextureKind kinds[] = {TextureKind::gradient, TextureKind::noise, TextureKind::stripes,
                                   TextureKind::blobs};
  const TextureKind kind = kinds[random.below(4)];
  const Colour first = random_colour(random, 0.05f, 0.5f, 0.2f, 0.95f);
  Colour second = random_colour(random, 0.05f, 0.5f, 0.2f, 0.95f);
  const float apart = distance(first, second), most = kind == TextureKind::gradient ? 0.6f : 0.3f;
  if (apart > most) second = mix(first, second, most / apart);
  const float shorter = float(canvas.shorter());
  const float period = kind == TextureKind::gradient  ? shorter * 1.3f
                       : kind == TextureKind::stripes ? shorter * random.uniform(0.05f, 0.25f)
                                                      : shorter * random.uniform(0.15f, 0.5f);
  const Texture texture = random_texture(random, kind, first, second, period);
  for (int y = 0; y < canvas.height(); ++y)
    for (int x = 0; x < canvas.width(); ++x)
      canvas.at(x, y) =
          texture.at(float(x) - float(canvas.width()) / 2, float(y) - float(canvas.height()) / 2);
}

struct Point {
  float x, y;
};

// A straight line with round ends, `thickness` pixels wide.
void paint_line(Canvas& canvas, Point from, Point to, float thickness, const Colour& colour) {
  const float dx = to.x - from.x, dy = to.y - from.y, length_squared = std::max(dx * dx + dy * dy, 1e-6f);
  const float reach = thickness / 2 + 1;
  const int left = std::max(0, int(std::min(from.x, to.x) - reach)),
            top = std::max(0, int(std::min(from.y, to.y) - reach));
  const int right = std::min(canvas.width(), int(std::max(from.x, to.x) + reach) + 1);
  const int bottom = std::min(canvas.height(), int(std::max(from.y, to.y) + reach) + 1);
  for (int y = top; y < bottom; ++y)
    for (int x = left; x < right; ++x) {
      const float px = float(x) + 0.5f - from.x, py = float(y) + 0.5f - from.y;
      const float along = std::clamp((px * dx + py * dy) / length_squared, 0.0f, 1.0f);
      const float away_x = px - along * dx, away_y = py - along * dy;
      const float away = std::sqrt(away_x * away_x + away_y * away_y);
      canvas.cover(x, y, colour, std::clamp(thickness / 2 + 0.5f - away, 0.0f, 1.0f));
    }
}

Point random_point(const Canvas& canvas, Random& random) {
  const float x = random.uniform(0, float(canvas.width()));
  return {x, random.uniform(0, float(canvas.height()))};
}

// Strokes that turn a little at each step.
void paint_scribble(Canvas& canvas, Random& random) {
  const Colour colour = random_colour(random, 0.1f, 0.9f, 0.2f, 1);
  const float thickness = random.uniform(1, 4), turn = random.uniform(-0.7f, 0.7f);
  float angle = random.uniform(0, 2 * std::numbers::pi_v<float>);
  Point point = random_point(canvas, random);
  const int64_t strokes = 1 + random.below(6);
  for (int64_t i = 0; i < strokes; ++i) {
    const float length = float(canvas.shorter()) * random.uniform(0.08f, 0.25f);
    const Point next{point.x + length * std::cos(angle), point.y + length * std::sin(angle)};
    paint_line(canvas, point, next, thickness, colour);
    point = next;
    angle += turn;
  }
}

// A patch of another texture without an outline: it fades out from its middle.
void paint_patch(Canvas& canvas, Random& random) {
  const Point centre = random_point(canvas, random);
  const float radius = float(canvas.shorter()) * random.uniform(0.1f, 0.35f);
  const Colour first = random_colour(random, 0.1f, 0.8f, 0.2f, 1),
               second = random_colour(random, 0.1f, 0.8f, 0.2f, 1);
  const Texture texture = random_texture(random, TextureKind::noise, first, second, radius);
  const int left = std::max(0, int(centre.x - radius)),
            right = std::min(canvas.width(), int(centre.x + radius) + 1);
  const int top = std::max(0, int(centre.y - radius)),
            bottom = std::min(canvas.height(), int(centre.y + radius) + 1);
  for (int y = top; y < bottom; ++y)
    for (int x = left; x < right; ++x) {
      const float dx = (float(x) - centre.x) / radius, dy = (float(y) - centre.y) / radius;
      const float fade = std::max(0.0f, 1 - dx * dx - dy * dy);
      canvas.cover(x, y, texture.at(float(x), float(y)), 0.7f * fade * fade);
    }
}

// A shape on the canvas, and what later ones left of it.
struct PlacedObject {
  int label;
  Mask mask;
  std::vector<float> visible;  // as mask.coverage
};

double iou(const Mask& a, const Mask& b) {
  const double width = std::min(a.box_right, b.box_right) - std::max(a.box_left, b.box_left);
  const double height = std::min(a.box_bottom, b.box_bottom) - std::max(a.box_top, b.box_top);
  const double both = std::max(0.0, width) * std::max(0.0, height);
  const auto area = [](const Mask& m) { return (m.box_right - m.box_left) * (m.box_bottom - m.box_top); };
  return both / (area(a) + area(b) - both);
}

// Calls f(index into object.visible, coverage by `cover`) for the pixels that both have.
template <class Object, class F>
void for_common_pixels(Object& object, const Mask& cover, F&& f) {
  const Mask& mask = object.mask;
  for (int y = std::max(mask.top, cover.top); y < std::min(mask.top + mask.height, cover.top + cover.height);
       ++y)
    for (int x = std::max(mask.left, cover.left);
         x < std::min(mask.left + mask.width, cover.left + cover.width); ++x)
      f(size_t(y - mask.top) * mask.width + (x - mask.left), cover.at(x, y));
}

bool may_be_placed(const Mask& mask, const std::vector<PlacedObject>& others) {
  if (mask.area <= 0 || mask.area < min_inside * mask.whole_area) return false;
  return std::all_of(others.begin(), others.end(), [&](const PlacedObject& other) {
    double visible = std::accumulate(other.visible.begin(), other.visible.end(), 0.0);
    for_common_pixels(other, mask, [&](size_t i, float coverage) { visible -= other.visible[i] * coverage; });
    return visible >= min_visible * other.mask.area && iou(mask, other.mask) <= largest_iou;
  });
}

DrawnShape random_shape(const Canvas& canvas, int label, double side, Random& random) {
  DrawnShape shape;
  shape.kind = ShapeKind(label);
  const bool stretches = shape.kind == ShapeKind::ellipse || shape.kind == ShapeKind::rectangle;
  shape.half_width = side / 2;
  shape.half_height = side / 2 * random.uniform(stretches ? 0.6f : 0.8f, 1);
  shape.angle = random.uniform(0, 2 * std::numbers::pi_v<float>);
  const Point centre = random_point(canvas, random);
  shape.x = centre.x, shape.y = centre.y;
  return shape;
}

// A colour at least `contrast` away from another; the farthest of a few if none is.
Colour contrasting_colour(const Colour& other, float contrast, Random& random) {
  Colour best = other;
  for (int i = 0; i < 16 && distance(best, other) < contrast; ++i) {
    const Colour colour = random_colour(random, 0.2f, 1, 0.25f, 1);
    if (distance(colour, other) > distance(best, other)) best = colour;
  }
  return best;
}

Texture object_texture(const Mask& mask, double side, Canvas& canvas, Random& random) {
  Colour behind;
  for (int y = mask.top; y < mask.top + mask.height; ++y)
    for (int x = mask.left; x < mask.left + mask.width; ++x) {
      const float share = mask.at(x, y) / float(mask.area);
      const Colour& pixel = canvas.at(x, y);
      behind.red += share * pixel.red, behind.green += share * pixel.green, behind.blue += share * pixel.blue;
    }
  const Colour first = contrasting_colour(behind, min_contrast, random);
  // Half way to another colour: the outline, which tells the class, stays the strongest edge.
  const Colour second = mix(first, contrasting_colour(behind, min_contrast / 2, random), 0.5f);
  constexpr TextureKind kinds[] = {TextureKind::flat, TextureKind::gradient, TextureKind::stripes,
                                   TextureKind::checker, TextureKind::noise};
  const TextureKind kind = kinds[random.below(5)];
  const float period = float(side) * (kind == TextureKind::gradient ? 1.0f : random.uniform(0.2f, 0.5f));
  return random_texture(random, kind, first, second, std::max(period, 4.0f));
}

void paint_object(Canvas& canvas, const DrawnShape& shape, const Mask& mask, const Texture& texture) {
  const float side = float(std::max(shape.half_width, shape.half_height));
  for (int y = mask.top; y < mask.top + mask.height; ++y)
    for (int x = mask.left; x < mask.left + mask.width; ++x) {
      const float dx = float(x + 0.5 - shape.x), dy = float(y + 0.5 - shape.y);
      // Light from the upper left.
      const float shade = std::clamp(0.12f + 0.16f * (dx + dy) / side, 0.0f, 0.4f);
      canvas.cover(x, y, mix(texture.at(dx, dy), Colour{}, shade), mask.at(x, y));
    }
}

// Adds an object, unless a few tries find no place for it.
void add_object(Canvas& canvas, int classes, std::vector<PlacedObject>& objects, Random& random) {
  const int label = int(random.below(classes));
  const double side = canvas.shorter() * smallest * std::pow(largest / smallest, random.uniform());
  for (int attempt = 0; attempt < 8; ++attempt) {
    const DrawnShape shape = random_shape(canvas, label, side, random);
    Mask mask = rasterize(shape, canvas.width(), canvas.height());
    if (!may_be_placed(mask, objects)) continue;
    paint_object(canvas, shape, mask, object_texture(mask, side, canvas, random));
    for (PlacedObject& other : objects)
      for_common_pixels(other, mask, [&](size_t i, float coverage) { other.visible[i] *= 1 - coverage; });
    std::vector<float> visible = mask.coverage;
    objects.push_back({label, std::move(mask), std::move(visible)});
    return;
  }
}

}  // namespace

DrawnScene draw_scene(int width, int height, int classes, Random& random) {
  Canvas canvas(width, height);
  paint_background(canvas, random);
  for (int64_t patches = random.below(3); patches > 0; --patches) paint_patch(canvas, random);
  for (int64_t scribbles = random.below(4); scribbles > 0; --scribbles) paint_scribble(canvas, random);

  std::vector<PlacedObject> objects;
  const int64_t count = random.chance(empty_share) ? 0 : 1 + random.below(8);
  for (int64_t i = 0; i < count; ++i) add_object(canvas, classes, objects, random);

  // A line across, thin enough not to hide anything.
  if (random.chance(0.3)) {
    const Point from = random_point(canvas, random), to = random_point(canvas, random);
    const float thickness = random.uniform(1, 2);
    paint_line(canvas, from, to, thickness, random_colour(random, 0.1f, 0.9f, 0.2f, 1));
  }

  DrawnScene scene{canvas.to_image(random.uniform(0, 0.03f), random), {}, {}};
  for (const auto& [label, mask, visible] : objects) {
    scene.visible.push_back(std::accumulate(visible.begin(), visible.end(), 0.0) / mask.area);
    scene.objects.push_back({.x = mask.box_left,
                             .y = mask.box_top,
                             .width = mask.box_right - mask.box_left,
                             .height = mask.box_bottom - mask.box_top,
                             .area = mask.area,
                             .label = label});
  }
  return scene;
}

}  // namespace fovea
