#pragma once

namespace fovea {

// A box by its edges, in pixels of whichever image the context names; the order is the EfficientDet code's,
// (ymin, xmin, ymax, xmax).
struct Box {
  float ymin = 0, xmin = 0, ymax = 0, xmax = 0;

  float height() const { return ymax - ymin; }
  float width() const { return xmax - xmin; }
  float area() const { return height() * width(); }
  bool operator==(const Box&) const = default;
};

// One object found in an image. `label` counts the classes of the model from 0.
struct Detection {
  Box box;
  float score = 0;
  int label = 0;
};

}  // namespace fovea
