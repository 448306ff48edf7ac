#pragma once
#include <string>
#include <vector>

#include "train/data/dataset.h"
#include "train/data/problem.h"

namespace fovea {

// How strict read_coco() is.
struct CocoOptions {
  bool require_images =
      true;  // false: the images need not be there, for evaluating detections made elsewhere
  ReadLog* log =
      nullptr;  // where faults and raw boxes are noted; an entry that would be an error is left out then
};

// Reads a COCO annotation file (https://cocodataset.org/#format-data). An image's file is looked for in each
// of `image_folders` in turn; one that is in none is left out with its boxes. `class_names`: empty to take
// the file's categories in the order of their ids, which may have gaps; otherwise the classes a model knows,
// and the labels follow their order (one that the file does not list gets a category id above all of the
// file's). Numbers, ids and the order of images and boxes are kept exactly as in the file, because evaluation
// counts them so; a box that reaches outside its image, or has no area, too. Only boxes whose size is not
// finite are dropped. Numerals in quotes and whole numbers with a decimal point are taken as the numbers that
// they are; a size that is left out, 0 or -1 is that of the image's file; paths may be of another machine
// (files/find_file.h), and what is not UTF-8 is escaped. Throws Error naming file, entry, field and value:
// where the file is no JSON (NaN and Infinity are not), lacks a list or a field, holds a value of another
// type, an id twice, an unknown category or an object of a class that the model does not know; where it lists
// no image, or none is found. What concerns a single image or box otherwise is a sentence in `warnings`.
DetectionDataset read_coco(const std::string& annotation_file, const std::vector<std::string>& image_folders,
                           const std::vector<std::string>& class_names = {}, const CocoOptions& options = {});

// Writes the data set as a COCO annotation file, atomically; numbers come back to the last bit. file_name
// becomes the image's path relative to `image_folder`, the whole path where that is empty. COCO has no field
// for VOC's `difficult`: it is not written. Names that are not UTF-8 are escaped. Throws Error where the file
// cannot be written.
void write_coco(const std::string& annotation_file, const DetectionDataset& dataset,
                const std::string& image_folder = "");

}  // namespace fovea
