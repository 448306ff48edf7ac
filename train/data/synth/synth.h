#pragma once
#include <cstdint>
#include <string>

namespace fovea {

// What is drawn; width and height in pixels.
struct SynthOptions {
  int train_images = 600, val_images = 100;
  int width = 320, height = 240;
  int classes = 3;  // 3 to 6
  uint64_t seed = 1;
};

// Draws a COCO data set into `folder`: train/*.jpg, val/*.jpg, annotations/instances_train.json,
// instances_val.json. Textured, rotated, overlapping shapes (a class is a kind of shape, never a colour) of
// sizes over three or more pyramid levels, on varied backgrounds with distractors that are not objects. The
// same options give the same bytes, on any number of threads. Annotations are the exact bounding boxes of
// what is drawn, hidden parts included, and the areas of the shapes; an object that would hide more than 40 %
// of another is not drawn. Image ids do not repeat from one split to the other. Throws Error if an option is
// out of range, or if the folder holds a file that is not part of the data set, or cannot be written.
void synthesize_dataset(const std::string& folder, const SynthOptions& options);

}  // namespace fovea
