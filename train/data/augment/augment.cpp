#include "train/data/augment/augment.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <optional>
#include <utility>

#include "core/error.h"
#include "core/simd.h"
#include "train/data/augment/crop.h"

namespace fovea {
namespace {

// Red, green, blue and one lane that is thrown away: a pixel as a register of four floats.
typedef float Pixel __attribute__((vector_size(16)));

// (byte / 255 - mean) / deviation as one multiply-add, with the statistics of ImageNet.
constexpr Pixel gain{1 / (255 * 0.229f), 1 / (255 * 0.224f), 1 / (255 * 0.225f), 0};
constexpr Pixel shift{-0.485f / 0.229f, -0.456f / 0.224f, -0.406f / 0.225f, 0};

// Where the pixels of the output lie along one axis of the image: the centre of pixel i at origin + (i +
// 1/2) * step, in pixels of the image. A negative step reads it backwards.
struct Line {
  double origin, step;
  int count;
};

// Output pixel i is the sum over t of weights[i * taps + t] * source[first[i] + t].
struct Filter {
  int taps;
  std::vector<int> first;
  std::vector<float> weights;
  int begin, end;  // the source pixels that are read
};

// A triangle as wide as two steps, or as two source pixels where the step is smaller (PIL's BILINEAR): plain
// linear interpolation when enlarging, and no source pixel falls between two output pixels when reducing. At
// the edge of the image the triangle is cut off and what remains weighs 1.
Filter triangle_filter(int source_size, const Line& line) {
  const double support = std::max(std::abs(line.step), 1.0);
  const int taps = std::min(source_size, int(std::min(2 * support, double(source_size))) + 1);
  Filter filter{taps, {}, std::vector<float>(size_t(line.count) * taps), source_size, 0};
  for (int i = 0; i < line.count; ++i) {
    const double centre = line.origin + (i + 0.5) * line.step;
    const int first = int(std::clamp(std::ceil(centre - support - 0.5), 0.0, double(source_size - taps)));
    const auto weight = [&](int t) {
      return std::max(0.0, 1 - std::abs(first + t + 0.5 - centre) / support);
    };
    double sum = 0;
    for (int t = 0; t < taps; ++t) sum += weight(t);
    for (int t = 0; t < taps; ++t) filter.weights[size_t(i) * taps + t] = float(weight(t) / sum);
    filter.first.push_back(first);
    filter.begin = std::min(filter.begin, first);
    filter.end = std::max(filter.end, first + taps);
  }
  return filter;
}

// row[i] = the weighted sum of source[i + t * stride] over t.
void mix_rows(const uint8_t* source, size_t stride, const float* weights, int taps, float* row, size_t n) {
  std::fill_n(row, n, 0.0f);
  for (int t = 0; t < taps; ++t, source += stride) {
    const float weight = weights[t];
    if (weight == 0) continue;
#pragma omp simd
    for (size_t i = 0; i < n; ++i) row[i] += weight * float(source[i]);
  }
}

// A ColourMap for pixels as registers: the columns of its matrix, and the offset.
struct PixelMap {
  Pixel red, green, blue, offset;

  explicit PixelMap(const ColourMap& map)
      : red(column(map, 0)), green(column(map, 1)), blue(column(map, 2)), offset(pixel(map.offset)) {}
  Pixel operator()(Pixel p) const {
    constexpr Pixel black{}, white{255, 255, 255, 255};
    p = p[0] * red + p[1] * green + p[2] * blue + offset;
    p = p < black ? black : p;
    return p > white ? white : p;
  }

 private:
  static Pixel pixel(const std::array<double, 3>& c) {
    return Pixel{float(c[0]), float(c[1]), float(c[2]), 0};
  }
  static Pixel column(const ColourMap& map, size_t i) {
    return pixel({map.matrix[0][i], map.matrix[1][i], map.matrix[2][i]});
  }
};

// One row of the output from a row of the image that starts at column filter.begin; one float behind the
// row is read, too. The colours change, where they do, after filtering: both are linear.
void mix_columns(const float* row, const Filter& filter, const std::optional<PixelMap>& colours,
                 float* output) {
  for (size_t x = 0; x < filter.first.size(); ++x) {
    const float* source = row + size_t(filter.first[x] - filter.begin) * 3;
    const float* weights = &filter.weights[x * filter.taps];
    Pixel sum{};
    for (int t = 0; t < filter.taps; ++t) sum += weights[t] * load<Pixel>(source + size_t(t) * 3);
    if (colours) sum = (*colours)(sum);
    sum = sum * gain + shift;
    std::memcpy(output + x * 3, &sum, 3 * sizeof(float));
  }
}

// The part of the network's input that one image fills, rows `stride` floats apart.
struct Area {
  float* pixels;
  int height, width;
  size_t stride;
};

// Samples the image into the top left corner of the area (normalised) and fills the rest of it with 0. Rows
// are mixed first: that pass reads the bytes in order, and all that it leaves is one row in the first-level
// cache.
void resample(const Image& image, const Line& columns, const Line& rows,
              const std::optional<PixelMap>& colours, const Area& area) {
  const Filter across = triangle_filter(image.width, columns), down = triangle_filter(image.height, rows);
  const size_t used = size_t(across.end - across.begin) * 3;
  std::vector<float> row(used + 1);
  for (int y = 0; y < area.height; ++y) {
    float* output = area.pixels + size_t(y) * area.stride;
    const int filled = y < rows.count ? columns.count : 0;
    if (filled) {
      mix_rows(image.at(across.begin, down.first[size_t(y)]), size_t(image.width) * 3,
               &down.weights[size_t(y) * down.taps], down.taps, row.data(), used);
      mix_columns(row.data(), across, colours, output);
    }
    std::fill(output + size_t(filled) * 3, output + size_t(area.width) * 3, 0.0f);
  }
}

void check_output(int height, int width, std::span<float> pixels) {
  require(height >= 1 && width >= 1 && pixels.size() == size_t(height) * width * 3,
          "[augment] the output is {} x {} pixels in {} floats: give at least one pixel, 3 floats each",
          width, height, pixels.size());
}

void check_image(const Image& image) {
  require(
      image.width >= 1 && image.height >= 1 && image.pixels.size() == size_t(image.width) * image.height * 3,
      "[augment] the image is {} x {} pixels in {} bytes: give at least one pixel, 3 bytes each", image.width,
      image.height, image.pixels.size());
}

// How the image, flipped and scaled, lies under the network's input: pixel (0, 0) of the input shows the
// scaled image at (offset_x, offset_y).
struct Placement {
  double scale = 1, offset_x = 0, offset_y = 0;
  bool mirrored = false, upside_down = false;
};

double letterbox_scale(const Image& image, double height, double width) {
  return std::min(height / image.height, width / image.width);
}

// The pixels of an axis whose centres lie on `extent` pixels of the image, but at least one: an image a
// thousand times wider than high still shows.
int covered(double extent, int limit) {
  return std::clamp(int(std::min(std::ceil(extent - 0.5), double(limit))), 1, limit);
}

// The annotation in pixels of the input, cut off at the edges of the image and of the input; nothing where a
// side is left with less than `least` pixels, or none.
std::optional<Box> place(const Annotation& annotation, const Image& image, const Placement& placement,
                         int height, int width, double least) {
  double left = std::clamp(annotation.x, 0.0, double(image.width));
  double right = std::clamp(annotation.x + annotation.width, 0.0, double(image.width));
  double top = std::clamp(annotation.y, 0.0, double(image.height));
  double bottom = std::clamp(annotation.y + annotation.height, 0.0, double(image.height));
  if (placement.mirrored) left = image.width - std::exchange(right, image.width - left);
  if (placement.upside_down) top = image.height - std::exchange(bottom, image.height - top);

  const auto x = [&](double v) {
    return float(std::clamp(v * placement.scale - placement.offset_x, 0.0, double(width)));
  };
  const auto y = [&](double v) {
    return float(std::clamp(v * placement.scale - placement.offset_y, 0.0, double(height)));
  };
  const Box box{y(top), x(left), y(bottom), x(right)};
  const bool enough = box.height() > 0 && box.width() > 0 && box.height() >= least && box.width() >= least;
  return enough ? std::optional(box) : std::nullopt;
}

PreparedImage prepare(const Image& image, std::span<const Annotation> annotations, const Placement& placement,
                      const std::optional<PixelMap>& colours, double least, const Area& area) {
  const double step = 1 / placement.scale;
  // An axis of the image, read backwards where it is flipped.
  const auto line = [&](bool flipped, double offset, int source, int limit) {
    return Line{flipped ? source - offset * step : offset * step, flipped ? -step : step,
                covered(source * placement.scale - offset, limit)};
  };
  resample(image, line(placement.mirrored, placement.offset_x, image.width, area.width),
           line(placement.upside_down, placement.offset_y, image.height, area.height), colours, area);

  PreparedImage prepared;
  prepared.frame = {placement.scale, image.height, image.width};
  for (const Annotation& annotation : annotations) {
    const auto box = place(annotation, image, placement, area.height, area.width, least);
    if (!box) continue;
    if (annotation.crowd) {
      prepared.crowds.push_back(*box);
    } else {
      prepared.boxes.push_back(*box);
      prepared.labels.push_back(annotation.label);
    }
  }
  return prepared;
}

void check_options(const AugmentOptions& options) {
  require(
      options.scale_min > 0 && options.scale_min <= options.scale_max && std::isfinite(options.scale_max),
      "[augment] the scale jitter is {} to {}: give 0 < scale_min <= scale_max (EfficientDet's is 0.1 to 2)",
      options.scale_min, options.scale_max);
}

// One image into an area of an input of height x width, which its scale is measured by. Random numbers are
// drawn only for what is asked for.
PreparedImage augment(const Image& image, std::span<const Annotation> annotations, int height, int width,
                      const AugmentOptions& options, Random& random, const Area& area) {
  if (options.crop > 0 && random.chance(options.crop)) {
    const CropWindow window = random_crop(image, annotations, random);
    AugmentOptions others = options;
    others.crop = 0;
    return augment(cut_out(image, window), cut_out(image, annotations, window), height, width, others, random,
                   area);
  }
  Placement placement;
  placement.mirrored = options.horizontal_flip && random.chance(0.5);
  placement.upside_down = options.vertical_flip && random.chance(0.5);
  const double factor = options.scale_min + (options.scale_max - options.scale_min) * random.uniform();
  placement.scale = letterbox_scale(image, factor * height, factor * width);
  placement.offset_x = std::max(0.0, image.width * placement.scale - area.width) * random.uniform();
  placement.offset_y = std::max(0.0, image.height * placement.scale - area.height) * random.uniform();
  std::optional<PixelMap> colours;
  if (options.colours.any()) colours.emplace(random_colour_map(options.colours, image, random));
  return prepare(image, annotations, placement, colours, 1, area);
}

void move_by(std::vector<Box>& boxes, int x, int y) {
  for (Box& box : boxes)
    box = {box.ymin + float(y), box.xmin + float(x), box.ymax + float(y), box.xmax + float(x)};
}

void append(std::vector<Box>& all, const std::vector<Box>& boxes) {
  all.insert(all.end(), boxes.begin(), boxes.end());
}

struct Crop {
  double left, top, width, height;
};

// The largest part of this aspect (width / height) in the middle of the image, its sides shortened to
// `fraction`.
Crop centre_crop(const Image& image, double aspect, double fraction) {
  const double width = std::min(double(image.width), image.height * aspect) * fraction,
               height = width / aspect;
  return {(image.width - width) / 2, (image.height - height) / 2, width, height};
}

Crop inception_crop(const Image& image, Random& random) {
  const float aspect_limit = std::log(4 / 3.0f);
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double area = double(image.width) * image.height * random.uniform(0.08f, 1);
    const double aspect = std::exp(random.uniform(-aspect_limit, aspect_limit));
    const double width = std::sqrt(area * aspect), height = std::sqrt(area / aspect);
    if (width > image.width || height > image.height) continue;
    const double left = (image.width - width) * random.uniform();
    return {left, (image.height - height) * random.uniform(), width, height};
  }
  // Long images hardly have such parts.
  return centre_crop(image, std::clamp(double(image.width) / image.height, 3 / 4.0, 4 / 3.0), 1);
}

}  // namespace

PreparedImage prepare_for_evaluation(const Image& image, std::span<const Annotation> annotations, int height,
                                     int width, std::span<float> pixels) {
  check_image(image);
  check_output(height, width, pixels);
  return prepare(image, annotations, {letterbox_scale(image, height, width)}, {}, 0,
                 {pixels.data(), height, width, size_t(width) * 3});
}

PreparedImage prepare_for_training(const Image& image, std::span<const Annotation> annotations, int height,
                                   int width, const AugmentOptions& options, Random& random,
                                   std::span<float> pixels) {
  check_image(image);
  check_output(height, width, pixels);
  check_options(options);
  return augment(image, annotations, height, width, options, random,
                 {pixels.data(), height, width, size_t(width) * 3});
}

PreparedImage prepare_mosaic(std::span<const AnnotatedImage, 4> images, int height, int width,
                             const AugmentOptions& options, Random& random, std::span<float> pixels) {
  for (const AnnotatedImage& annotated : images) check_image(*annotated.image);
  check_output(height, width, pixels);
  check_options(options);
  require(height >= 2 && width >= 2, "[augment] a mosaic of {} x {} pixels has no room for four images",
          width, height);
  const auto centre = [&](int size) {
    return std::clamp(int(std::lround(size * random.uniform(0.25f, 0.75f))), 1, size - 1);
  };
  const int x = centre(width), y = centre(height);
  PreparedImage mosaic;
  for (size_t i = 0; i < 4; ++i) {
    const int left = i % 2 ? x : 0, top = i / 2 ? y : 0;
    const Area area{pixels.data() + (size_t(top) * width + left) * 3, i / 2 ? height - y : y,
                    i % 2 ? width - x : x, size_t(width) * 3};
    PreparedImage part =
        augment(*images[i].image, images[i].annotations, height, width, options, random, area);
    move_by(part.boxes, left, top);
    move_by(part.crowds, left, top);
    append(mosaic.boxes, part.boxes);
    append(mosaic.crowds, part.crowds);
    mosaic.labels.insert(mosaic.labels.end(), part.labels.begin(), part.labels.end());
  }
  mosaic.frame = {1, height, width};
  return mosaic;
}

Image image_of(std::span<const float> pixels, int height, int width) {
  require(pixels.size() == size_t(height) * width * 3, "[augment] {} x {} pixels are not {} floats", width,
          height, pixels.size());
  Image image(width, height);
  for (size_t i = 0; i < pixels.size(); ++i) {
    const double value = (double(pixels[i]) - shift[i % 3]) / gain[i % 3];
    image.pixels[i] = uint8_t(std::lround(std::clamp(value, 0.0, 255.0)));
  }
  return image;
}

void prepare_for_classification(const Image& image, int size, std::span<float> pixels) {
  Random unused;
  prepare_for_classification(image, size, {}, unused, pixels);
}

void prepare_for_classification(const Image& image, int size, const ClassifierAugmentation& augmentation,
                                Random& random, std::span<float> pixels) {
  check_image(image);
  check_output(size, size, pixels);
  const Crop crop = augmentation.random_crop ? inception_crop(image, random) : centre_crop(image, 1, 0.875);
  const bool flipped = augmentation.horizontal_flip && random.chance(0.5);
  std::optional<PixelMap> colours;
  if (augmentation.colours.any()) colours.emplace(random_colour_map(augmentation.colours, image, random));
  const double step = crop.width / size;
  resample(image, {flipped ? crop.left + crop.width : crop.left, flipped ? -step : step, size},
           {crop.top, crop.height / size, size}, colours, {pixels.data(), size, size, size_t(size) * 3});
}

}  // namespace fovea
