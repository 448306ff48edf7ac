#pragma once
#include <string>
#include <vector>

#include "train/data/dataset.h"
#include "train/data/image/image_io.h"
#include "train/data/problem.h"

namespace fovea {

// An image's header, or why it cannot be read.
struct HeaderOrError {
  ImageHeader header;
  std::string error;
};

// Reads the headers of all files, on all threads.
std::vector<HeaderOrError> read_headers(const std::vector<std::string>& files);

// Gives an image the size of its file, for annotations that state none. Throws as read_image_header() does.
void take_own_size(LabelledImage& image);

// Whether the annotation's size of an image is that of its file, turned upright. True if the file cannot be
// read.
bool has_own_size(const LabelledImage& image);

// Compares the size that the annotations state with the images' headers, and brings sizes, boxes and areas to
// pixels of the images as read_image() decodes them. The stated size may be
// - that of the stored image, before its EXIF orientation turns it: the boxes are turned with it;
// - of the same aspect, with all boxes within it: the image was scaled after labelling, and so are the boxes;
// - with width and height exchanged, or exceeded by boxes, while all boxes lie within the image: the boxes
//   are pixels of the image, and only the size was wrong.
// Each is a sentence in `warnings`, with the number of such images and the first of them. Any other size
// throws a ProblemError, since the boxes may be of either; with a log it is a fault there. An orientation
// that the size does not show (2 to 4, square images, YOLO, whose `states_size` is false) is assumed to be as
// in the others: boxes of the stored pixels if all images that show it are labelled so, else boxes of the
// upright image. Images whose header cannot be read stay as they are.
void settle_sizes(DetectionDataset& dataset, bool states_size, ReadLog* log);

}  // namespace fovea
