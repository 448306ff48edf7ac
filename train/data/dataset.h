#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace fovea {

struct ReadLog;  // fault.h

// One labelled object, in pixels of the image file (after EXIF orientation): left, top, width, height as in
// COCO. double, because COCO's figures are computed in double and must agree to the last digits.
struct Annotation {
  double x = 0, y = 0, width = 0, height = 0;
  double area = 0;         // COCO's area field if the file has it, otherwise width * height
  int label = 0;           // index into DetectionDataset::class_names
  bool crowd = false;      // COCO iscrowd: ignored in training, absorbs detections in evaluation
  bool difficult = false;  // VOC difficult: not counted in VOC evaluation

  // Evaluation counts an annotation without an area, and training ignores it.
  bool has_area() const { return width > 0 && height > 0; }
};

// An image and the objects in it.
struct LabelledImage {
  std::string file;  // path that can be opened
  int64_t id = 0;    // COCO image id; position in the list, from 1, for VOC and YOLO
  int width = 0,
      height = 0;  // of the file, turned upright; of ground truth without images, as annotated
  std::vector<Annotation> annotations;
};

// A detection data set in memory: the labels, not the pixels.
struct DetectionDataset {
  std::string name;                      // for messages: the annotation file or list it was read from
  std::vector<std::string> class_names;  // label i is class_names[i]
  std::vector<int> category_ids;  // COCO category id of label i (i + 1 for VOC and YOLO); may have gaps
  std::vector<LabelledImage> images;
  std::vector<std::string> warnings;  // one sentence for each fault that does not prevent training
};

// The number of training objects of each class, without crowd regions and boxes without an area.
std::vector<int64_t> boxes_of_classes(const DetectionDataset& dataset);

// Opens one split of the data set in a folder, whose layout determines the format:
//   Pascal VOC   Annotations/*.xml, JPEGImages/, ImageSets/Main/<split>.txt (file stems, one a line)
//   COCO         annotations/instances_<split>.json or annotations/<split>.json, the images in
//                <split>/, images/<split>/, images/, or the folder itself
//   YOLO         a data.yaml or a list of classes, as train/data/yolo.h describes it
// `split` is a name ("train"), several joined by + ("train+val"), or, for VOC, the path of a list file
// (ending in .txt), relative to the working directory or to the folder. If joined COCO files use an image id
// twice, the images are renumbered from 1. If `class_names` is empty, the classes come from the data (VOC: of
// all files in Annotations, sorted by name; COCO: the file's categories, by id; YOLO: the list of names).
// Otherwise they are the classes of a model, the labels follow their order, and an object of another class is
// an error. Sizes and boxes are those of the images' files, turned upright (settle_sizes, image_sizes.h).
// Throws Error if the folder has none of these layouts, the split does not exist (listing those that do), or
// it has no image at all; faults of single images and boxes are counted in `warnings`. With a `log`, faults
// are also recorded there, and an entry that would be an error is left out.
DetectionDataset open_dataset(const std::string& folder, const std::string& split,
                              const std::vector<std::string>& class_names = {}, ReadLog* log = nullptr);

// The layouts that open_dataset() supports.
enum class DatasetFormat { none, voc, coco, yolo };

// The first of the three layouts, in this order, that a folder has, or none.
DatasetFormat dataset_format(const std::string& folder);
const char* name_of(DatasetFormat format);  // "Pascal VOC", "COCO", "YOLO"

// Splits "train+val" into train and val. Throws Error on an empty name and on a repeated one.
std::vector<std::string> parts_of(const std::string& split);

// The names of the splits in a folder, sorted; empty if it has no layout.
std::vector<std::string> dataset_splits(const std::string& folder);

}  // namespace fovea
