#pragma once
#include <span>
#include <string>
#include <vector>

#include "models/box.h"
#include "train/data/dataset.h"
#include "train/data/image/image.h"

namespace fovea {

// The image with its detections of at least `score_threshold`: a frame in the class's colour and "name
// 0.87" above it.
Image draw_detections(const Image& image, std::span<const Detection> detections,
                      const std::vector<std::string>& class_names, double score_threshold = 0.3);

// The image with its annotations, in the same colours; crowd regions dashed.
Image draw_annotations(const Image& image, std::span<const Annotation> annotations,
                       const std::vector<std::string>& class_names);

// A box with any text.
struct DrawnBox {
  double left, top, right, bottom;  // in pixels of the image
  int label;                        // determines the colour
  std::string text;                 // empty: only the frame
  bool dashed = false;
};

// The image with these boxes; later ones lie over earlier ones, and every text over every frame.
Image draw_boxes(const Image& image, std::span<const DrawnBox> boxes);

}  // namespace fovea
