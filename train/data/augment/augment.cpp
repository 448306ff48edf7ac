#include "train/data/augment/augment.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <utility>

#include "core/error.h"
#include "train/data/augment/crop.h"
#include "train/data/augment/mixup.h"
#include "train/data/augment/random_erasing.h"
#include "train/data/augment/rotate.h"

namespace fovea {
namespace {

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
  Flip flip = {};
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
  if (placement.flip.horizontal) left = image.width - std::exchange(right, image.width - left);
  if (placement.flip.vertical) top = image.height - std::exchange(bottom, image.height - top);

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

// The part of the network's input that one image fills.
struct Area {
  const InputImage& input;
  int input_width;
  int left, top, width, height;
};

PreparedImage prepare(const Image& image, std::span<const Annotation> annotations, const Placement& placement,
                      const std::optional<ColourMap>& colours, double least, const Area& area) {
  const double step = 1 / placement.scale;
  // An axis of the image, read backwards where it is flipped.
  const auto line = [&](bool flipped, double offset, int source, int limit) {
    return SampleLine{flipped ? source - offset * step : offset * step, flipped ? -step : step,
                      covered(source * placement.scale - offset, limit)};
  };
  area.input.draw(image, {line(placement.flip.horizontal, placement.offset_x, image.width, area.width),
                          line(placement.flip.vertical, placement.offset_y, image.height, area.height),
                          colours, area.left, area.top, area.width, area.height, area.input_width});

  PreparedImage prepared;
  prepared.frame = {placement.scale, image.height, image.width, placement.flip};
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

void check_rotation(double degrees) {
  require(degrees >= 0 && degrees <= largest_rotation, "[augment] rotate is {}: give 0 to {} degrees",
          degrees, largest_rotation);
}

void check_options(const AugmentOptions& options) {
  require(
      options.scale_min > 0 && options.scale_min <= options.scale_max && std::isfinite(options.scale_max),
      "[augment] the scale jitter is {} to {}: give 0 < scale_min <= scale_max (EfficientDet's is 0.1 to 2)",
      options.scale_min, options.scale_max);
  check_rotation(options.rotate);
}

double random_angle(double largest, Random& random) {
  return random.uniform(-float(largest), float(largest));
}

// An image and the objects in it, in bytes and pixels of its own.
struct Scene {
  Image image;
  std::vector<Annotation> annotations;
};

// What is changed in an image's own pixels, before it is drawn.
Scene varied(const Image& image, std::span<const Annotation> annotations, const AugmentOptions& options,
             Random& random, const std::array<uint8_t, 3>& background) {
  Scene scene{image, {annotations.begin(), annotations.end()}};
  if (options.crop > 0 && random.chance(options.crop)) {
    const CropWindow window = random_crop(image, annotations, random);
    scene = {cut_out(image, window), cut_out(image, annotations, window)};
  }
  if (options.rotate > 0) {
    const double angle = random_angle(options.rotate, random);
    scene = {rotate(scene.image, angle, background), rotate(scene.image, scene.annotations, angle)};
  }
  if (options.random_erasing > 0)
    erase_random_parts(scene.image, scene.annotations, options.random_erasing, random);
  return scene;
}

// One image into an area of an input of height x width, which its scale is measured by. Random numbers are
// drawn only for what is asked for.
PreparedImage augment(const Image& image, std::span<const Annotation> annotations, int height, int width,
                      const AugmentOptions& options, Random& random, const Area& area) {
  if (options.crop > 0 || options.rotate > 0 || options.random_erasing > 0) {
    const Scene scene = varied(image, annotations, options, random, area.input.background());
    AugmentOptions others = options;
    others.crop = others.rotate = others.random_erasing = 0;
    return augment(scene.image, scene.annotations, height, width, others, random, area);
  }
  Placement placement;
  placement.flip.horizontal = options.horizontal_flip && random.chance(0.5);
  placement.flip.vertical = options.vertical_flip && random.chance(0.5);
  const double factor = options.scale_min + (options.scale_max - options.scale_min) * random.uniform();
  placement.scale = letterbox_scale(image, factor * height, factor * width);
  placement.offset_x = std::max(0.0, image.width * placement.scale - area.width) * random.uniform();
  placement.offset_y = std::max(0.0, image.height * placement.scale - area.height) * random.uniform();
  std::optional<ColourMap> colours;
  if (options.colours.any()) colours = random_colour_map(options.colours, image, random);
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

void draw_crop(const Image& image, const Crop& crop, const Flip& flip,
               const std::optional<ColourMap>& colours, int size, const InputImage& input) {
  const auto line = [&](bool flipped, double begin, double extent) {
    return SampleLine{flipped ? begin + extent : begin, (flipped ? -extent : extent) / size, size};
  };
  input.draw(image, {line(flip.horizontal, crop.left, crop.width), line(flip.vertical, crop.top, crop.height),
                     colours, 0, 0, size, size, size});
}

}  // namespace

PreparedImage prepare_for_evaluation(const Image& image, std::span<const Annotation> annotations, int height,
                                     int width, const InputImage& input, const Flip& flip) {
  check_image(image);
  input.check(height, width);
  return prepare(image, annotations, {letterbox_scale(image, height, width), 0, 0, flip}, {}, 0,
                 {input, width, 0, 0, width, height});
}

PreparedImage prepare_for_training(const Image& image, std::span<const Annotation> annotations, int height,
                                   int width, const AugmentOptions& options, Random& random,
                                   const InputImage& input) {
  check_image(image);
  input.check(height, width);
  check_options(options);
  return augment(image, annotations, height, width, options, random, {input, width, 0, 0, width, height});
}

PreparedImage prepare_mosaic(std::span<const AnnotatedImage, 4> images, int height, int width,
                             const AugmentOptions& options, Random& random, const InputImage& input) {
  for (const AnnotatedImage& annotated : images) check_image(*annotated.image);
  input.check(height, width);
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
    const Area area{input, width, left, top, i % 2 ? width - x : x, i / 2 ? height - y : y};
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

Image image_of(std::span<const float> pixels, int height, int width, const Normalization& normalization) {
  require(pixels.size() == size_t(height) * width * 3, "[augment] {} x {} pixels are not {} floats", width,
          height, pixels.size());
  Image image(width, height);
  for (size_t i = 0; i < pixels.size(); ++i) {
    const double value = (double(pixels[i]) - normalization.shift(i % 3)) / normalization.gain(i % 3);
    image.pixels[i] = uint8_t(std::lround(std::clamp(value, 0.0, 255.0)));
  }
  return image;
}

void prepare_for_classification(const Image& image, int size, const InputImage& input, const Flip& flip) {
  check_image(image);
  input.check(size, size);
  draw_crop(image, centre_crop(image, 1, 0.875), flip, {}, size, input);
}

void prepare_for_classification(const Image& image, int size, const ClassifierAugmentation& augmentation,
                                Random& random, const InputImage& input) {
  check_image(image);
  input.check(size, size);
  check_rotation(augmentation.rotate);
  if (augmentation.rotate > 0) {
    ClassifierAugmentation others = augmentation;
    others.rotate = 0;
    return prepare_for_classification(
        rotate(image, random_angle(augmentation.rotate, random), input.background()), size, others, random,
        input);
  }
  const Image* shown = &image;
  Image erased;
  const Crop crop = augmentation.random_crop ? inception_crop(image, random) : centre_crop(image, 1, 0.875);
  if (augmentation.random_erasing > 0 && random.chance(augmentation.random_erasing)) {
    erased = image;
    const int left = int(crop.left), top = int(crop.top), right = int(std::ceil(crop.left + crop.width)),
              bottom = int(std::ceil(crop.top + crop.height));
    erase_random_part(erased,
                      {left, top, std::min(right, image.width) - left, std::min(bottom, image.height) - top},
                      random);
    shown = &erased;
  }
  const bool flipped = augmentation.horizontal_flip && random.chance(0.5);
  std::optional<ColourMap> colours;
  if (augmentation.colours.any()) colours = random_colour_map(augmentation.colours, *shown, random);
  draw_crop(*shown, crop, {.horizontal = flipped}, colours, size, input);
}

void prepare_mixed_for_classification(const Image& first, const Image& second, double share, int size,
                                      const ClassifierAugmentation& augmentation, Random& random,
                                      const InputImage& input) {
  // Mixed as bytes, so that a network on CUDA gets them as it gets all images.
  const auto shown = [&](const Image& image) {
    std::vector<float> pixels(size_t(size) * size_t(size) * 3);
    prepare_for_classification(image, size, augmentation, random, {pixels, input.normalization()});
    return image_of(pixels, size, size, input.normalization());
  };
  const Image one = shown(first), other = shown(second);
  draw_crop(mix(one, other, share, input.background()), {0, 0, double(size), double(size)}, {}, {}, size,
            input);
}

}  // namespace fovea
