#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "core/random.h"
#include "models/box.h"
#include "models/postprocess.h"
#include "train/data/augment/colour_jitter.h"
#include "train/data/augment/input_image.h"
#include "train/data/dataset.h"
#include "train/data/image/image.h"

namespace fovea {

// An image made ready for a network, with the boxes that came along, in pixels of the network's input.
struct PreparedImage {
  std::vector<Box> boxes;
  std::vector<int32_t> labels;  // one for each box
  std::vector<Box> crowds;      // crowd regions
  ImageFrame frame;             // how to map detections back to the original image
};

// How training images are varied.
struct AugmentOptions {
  bool horizontal_flip = true;  // with probability 1/2
  bool vertical_flip =
      false;  // with probability 1/2; for images that have no up and down: cells, aerial photographs
  // EfficientDet's scale jitter: the factor on the letterboxed size, uniform; 1 and 1: none.
  double scale_min = 0.1, scale_max = 2.0;
  // With this probability only a part of the image is used, one of SSD's (random_crop), which is then
  // flipped and scaled as an image of its own.
  double crop = 0;
  double rotate = 0;  // largest angle in degrees, 0 to 45: it is uniform in [-rotate, rotate] (rotate.h)
  double random_erasing = 0;  // probability for each object that a part of it is erased (random_erasing.h)
  ColourJitter colours;
};

// An image with its truth, for a mosaic.
struct AnnotatedImage {
  const Image* image;
  std::span<const Annotation> annotations;
};

// Letterbox: scaled to fit into height x width with its aspect kept, put in the top left corner, the rest
// filled with the mean colour, 0 after normalisation (google/automl dataloader.py). `input` receives the
// image of height x width pixels, normalised for its network. Downscaling filters
// (a triangle of two steps' width), so small objects do not flicker. Boxes without area after clipping to the
// image are left out. A flip turns the image and its boxes over before; the frame knows it.
PreparedImage prepare_for_evaluation(const Image& image, std::span<const Annotation> annotations, int height,
                                     int width, const InputImage& input, const Flip& flip = {});

// The same after what `options` ask for of SSD's crop, a rotation and random erasing, in this order, and
// the published augmentation: flip (the vertical one is ours); a random factor on the
// letterbox scale; where the scaled image is larger than the input, a random crop of it; boxes clipped to
// the input and left out where less than a pixel remains (google/automl dataloader.py). Its random numbers
// come only from `random`.
PreparedImage prepare_for_training(const Image& image, std::span<const Annotation> annotations, int height,
                                   int width, const AugmentOptions& options, Random& random,
                                   const InputImage& input);

// Four images as one (YOLOv4's mosaic, arXiv 2004.10934, section 3.3): a random point, from a quarter to
// three quarters of width and height, divides the input into four areas. Each image is flipped, scaled and
// changed in colour by itself, as prepare_for_training does it for the whole input, so objects are as large
// as they are without a mosaic; a random part of it fills its area, or the mean colour what it leaves free.
// Boxes are cut off at the edges of their area and left out where less than a pixel remains. The images
// follow each other in rows; so do boxes and labels. The frame is the input's.
PreparedImage prepare_mosaic(std::span<const AnnotatedImage, 4> images, int height, int width,
                             const AugmentOptions& options, Random& random, const InputImage& input);

// The image that prepared pixels (height x width x 3) show, for people to look at.
Image image_of(std::span<const float> pixels, int height, int width, const Normalization& normalization = {});

// How a classifier's training images are varied.
struct ClassifierAugmentation {
  // Inception's crop: a random part of 8 to 100 % of the area, its width / height 3/4 to 4/3; false: the
  // centre, as in evaluation.
  bool random_crop = false;
  bool horizontal_flip = false;  // with probability 1/2
  ColourJitter colours;
  double rotate = 0;          // largest angle in degrees, 0 to 45; before the crop
  double random_erasing = 0;  // probability that a part of what the crop shows is erased
};

// For a classifier: the centre of the image, scaled so that the shorter side is size / 0.875, as a square of
// size x size pixels, normalised for its network, flipped if asked for.
void prepare_for_classification(const Image& image, int size, const InputImage& input, const Flip& flip = {});

// The same, varied. Its random numbers come only from `random`, and are drawn only for what is asked for.
void prepare_for_classification(const Image& image, int size, const ClassifierAugmentation& augmentation,
                                Random& random, const InputImage& input);

// Two images over each other: each is varied and cropped by itself, then the first has this share (mixup.h).
void prepare_mixed_for_classification(const Image& first, const Image& second, double share, int size,
                                      const ClassifierAugmentation& augmentation, Random& random,
                                      const InputImage& input);

}  // namespace fovea
