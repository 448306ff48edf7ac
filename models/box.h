#pragma once

namespace fovea {

// A box, given by its edges in pixels of the image that the context names, in the order of the EfficientDet
// code, (ymin, xmin, ymax, xmax).
struct Box {
  float ymin = 0, xmin = 0, ymax = 0, xmax = 0;

  float height() const { return ymax - ymin; }
  float width() const { return xmax - xmin; }
  float area() const { return height() * width(); }
  bool operator==(const Box&) const = default;
};

// How an image is flipped before a network gets it. By default it is not flipped.
struct Flip {
  bool horizontal = false;  // left and right are swapped: mirrored
  bool vertical = false;    // top and bottom are swapped: upside down
  bool operator==(const Flip&) const = default;
};

// The image as it is, for functions that take the views of an image.
inline constexpr Flip unflipped[1] = {};

// One object found in an image. `label` is an index into the classes of the model.
struct Detection {
  Box box;
  float score = 0;
  int label = 0;
};

}  // namespace fovea
