#pragma once
#include <span>
#include <string>
#include <vector>

#include "models/box.h"
#include "train/data/dataset.h"
#include "train/data/image.h"

namespace fovea {

// The picture with its detections of at least `score_threshold`: a frame in the class's colour and "name
// 0.87" above it.
Image draw_detections(const Image& image, std::span<const Detection> detections,
                      const std::vector<std::string>& class_names, double score_threshold = 0.3);

// The picture with its annotations, in the same colours; crowd regions dashed.
Image draw_annotations(const Image& image, std::span<const Annotation> annotations,
                       const std::vector<std::string>& class_names);

}  // namespace fovea
