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

// How an image is turned over before a network is shown it. None is the image as it is.
struct Flip {
  bool horizontal = false;  // left and right change places: mirrored
  bool vertical = false;    // top and bottom do: upside down
  bool operator==(const Flip&) const = default;
};

// The image as it is, where a function takes the views that a network is shown.
inline constexpr Flip unflipped[1] = {};

// One object found in an image. `label` counts the classes of the model from 0.
struct Detection {
  Box box;
  float score = 0;
  int label = 0;
};

}  // namespace fovea
