#pragma once
#include <array>
#include <string>
#include <vector>

#include "models/anchors.h"
#include "train/data/dataset.h"

namespace fovea {

// Height x width of a network's input with `longer_side`: the images' shape if most of them have one shape
// (for 4:3, a quarter of a square would be padding), otherwise a square. Multiples of 32 keep the strides of
// the pyramid whole up to P5.
std::array<int, 2> suited_image_size(const std::vector<const LabelledImage*>& images, int longer_side);
std::array<int, 2> suited_image_size(const DetectionDataset& dataset, int longer_side);

// A box in pixels of the network's input.
struct InputBox {
  double x, y, width, height;  // left, top
  double side() const;         // of the square of the same area
};

// The position of an image's box when the image is scaled to fit into height x width (letterboxed).
InputBox to_input(const Annotation& annotation, const LabelledImage& image, int height, int width);

// How well a set of anchors covers boxes.
class AnchorCover {
 public:
  // Throws as generate_anchors does.
  AnchorCover(int height, int width, const AnchorOptions& options);

  // The largest overlap (IoU) of the box with any anchor of generate_anchors(height, width, options). The
  // overlap with anchors of one shape falls with their distance along either axis, so the nearest of each
  // shape is enough.
  double best_iou(const InputBox& box) const;

  double smallest_side() const { return smallest_; }  // of an anchor, in pixels of the input
  double largest_side() const { return largest_; }

 private:
  struct Shape {
    double stride_y, stride_x, height, width;
    int rows, columns;
  };
  std::vector<Shape> shapes_;
  double smallest_, largest_;
};

// The share of boxes whose best anchor overlaps them with IoU >= 0.5, the threshold of training; 1 if there
// is no box. It checks at most 10000 boxes, spread over all, and leaves out crowds.
double covered_share(const std::vector<const LabelledImage*>& images, int height, int width,
                     const AnchorOptions& options);

// An input size and an anchor scale, and the share of boxes that they cover.
struct InputChoice {
  int height = 0, width = 0;
  double anchor_scale = 0;
  double covered = 0;  // covered_share
};

// The smallest of the usual sizes, from 128 to 1536 pixels, at which the best anchor scale from 1 to 8 covers
// 95 % of the boxes; if none does, the choice that covers most. All fields are 0 if there is no box.
InputChoice suggest_input(const std::vector<const LabelledImage*>& images, AnchorOptions options);

}  // namespace fovea
