#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace fovea {

// One labelled object, in pixels of the image file (after EXIF orientation): left, top, width, height as in COCO.
// double, because COCO's figures are computed in double and must agree to the last digits.
struct Annotation {
  double x = 0, y = 0, width = 0, height = 0;
  double area = 0;         // COCO's area field where the file has it, width * height elsewhere
  int label = 0;           // index into DetectionDataset::class_names
  bool crowd = false;      // COCO iscrowd: ignored in training, absorbs detections in evaluation
  bool difficult = false;  // VOC difficult: not counted in VOC evaluation
};

struct LabelledImage {
  std::string file;  // path that can be opened
  int64_t id = 0;    // COCO image id; position in the list, from 1, for VOC
  int width = 0, height = 0;  // as the annotation file says
  std::vector<Annotation> annotations;
};

// A detection data set in memory: the labels, not the pixels.
struct DetectionDataset {
  std::string name;                      // for messages: the annotation file or list it was read from
  std::vector<std::string> class_names;  // label i is class_names[i]
  std::vector<int> category_ids;         // COCO category id of label i (i + 1 for VOC); may have gaps
  std::vector<LabelledImage> images;
  std::vector<std::string> warnings;  // one sentence for each fault that training can go on with
};

}  // namespace fovea
