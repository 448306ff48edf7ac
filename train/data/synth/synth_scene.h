#pragma once
#include <vector>

#include "core/random.h"
#include "train/data/dataset.h"
#include "train/data/image/image.h"

namespace fovea {

// A drawn image and its objects.
struct DrawnScene {
  Image image;
  std::vector<Annotation> objects;  // in the order they were drawn: later ones may hide parts of earlier ones
  std::vector<double> visible;      // of each object, the share of its pixels that no later one hides
};

// Draws one image with up to eight shapes (one image in fifty has none): a background with distractors, the
// shapes, thin lines across. The shapes' labels are below `classes` (3 to 6) and index ShapeKind. Everything
// depends only on `random`.
DrawnScene draw_scene(int width, int height, int classes, Random& random);

}  // namespace fovea
