#pragma once
#include <string>
#include <vector>

#include "train/data/dataset.h"
#include "train/data/problem.h"

namespace fovea {

// Options of read_coco().
struct CocoOptions {
  bool require_images = true;  // false: the images need not exist, for evaluating detections made elsewhere
  ReadLog* log =
      nullptr;  // records faults and raw boxes; with it, an entry that would be an error is left out
};

// Reads a COCO annotation file (https://cocodataset.org/#format-data). It looks for an image's file in each
// of `image_folders` in turn, and leaves out an image that is in none, with its boxes. If `class_names` is
// empty, the classes are the file's categories in the order of their ids, which may have gaps. Otherwise
// `class_names` are the classes of a model, and the labels follow their order (a class that the file does not
// list gets a category id above all of the file's). Numbers, ids and the order of images and boxes are kept
// exactly as in the file, because evaluation depends on them; so are boxes that reach outside their image or
// have no area. Only boxes whose size is not finite are dropped. Numerals in quotes and whole numbers with a
// decimal point are read as numbers; a size that is missing, 0 or -1 is replaced by that of the image's file;
// paths may be from another machine (files/find_file.h), and text that is not UTF-8 is escaped. Throws Error
// naming file, entry, field and value if the file is not JSON (NaN and Infinity are not), lacks a list or a
// field, holds a value of another type, an id twice, an unknown category or an object of a class that the
// model does not have, or if it lists no image or none is found. Other faults of single images and boxes are
// sentences in `warnings`.
DetectionDataset read_coco(const std::string& annotation_file, const std::vector<std::string>& image_folders,
                           const std::vector<std::string>& class_names = {}, const CocoOptions& options = {});

// Writes the data set as a COCO annotation file, atomically; numbers are kept to the last bit. file_name
// becomes the image's path relative to `image_folder`, or the whole path if that is empty. COCO has no field
// for VOC's `difficult`, which is not written. Names that are not UTF-8 are escaped. Throws Error if the file
// cannot be written.
void write_coco(const std::string& annotation_file, const DetectionDataset& dataset,
                const std::string& image_folder = "");

}  // namespace fovea
