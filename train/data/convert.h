#pragma once
#include <string>
#include <vector>

#include "train/data/dataset.h"

namespace fovea {

// What convert_dataset() writes, and how.
struct ConvertOptions {
  DatasetFormat to = DatasetFormat::coco;
  bool link = false;  // images are hard links, or symbolic ones from another file system, not copies
};

// The result of a conversion.
struct Converted {
  int64_t images = 0, boxes = 0;
  std::vector<std::string> splits;
  std::vector<std::string> warnings;  // what the reader left out, and what the new format cannot hold
};

// Converts a data set from one of the three formats to another, with all its splits, into the folder
// `output`, which must be new or empty. An image that is in several splits is written once.
//   coco   annotations/instances_<split>.json, images/: all numbers to the last bit, also ids and crowds
//   voc    Annotations/, JPEGImages/, ImageSets/Main/<split>.txt: boxes rounded to whole pixels, as
//          VOC's readers expect; crowd regions are left out, the order and the ids of the classes are
//          lost (VOC's have only names)
//   yolo   data.yaml, images/<split>/, labels/<split>/: eight digits, a ten-thousandth of a pixel at
//          10000; crowd regions are left out; `difficult` is lost
// Other parts of annotations (outlines, keypoints, poses) are not converted. Everything is written into a
// folder beside `output` that is renamed at the end, so a failure leaves nothing behind. Throws Error if the
// data set cannot be read, or `output` holds a file or cannot be written.
Converted convert_dataset(const std::string& folder, const std::string& output,
                          const ConvertOptions& options);

}  // namespace fovea
