#pragma once
#include "train/evaluation/coco_evaluation.h"

namespace fovea {

// Average precision as in the Pascal VOC challenges, from 0 to 1.
struct VocFigures {
  // The figures of one class.
  struct Class {
    double ap =
        -1;  // area under the interpolated precision-recall curve (VOC 2010 on); -1: no object of the class
    double ap_11_points = -1;  // mean of the interpolated precision at recall 0, 0.1, ... 1 (VOC 2007)
    int64_t true_positives = 0, objects = 0;
  };
  std::vector<Class> classes;
  double mean_ap = -1, mean_ap_11_points = -1;  // over classes that have objects
};

// Pascal VOC average precision. Boxes are inclusive of both edge pixels: 1 is added to every width and height
// when areas are formed (VOCdevkit). A detection is a true positive if the truth it overlaps most, with IoU
// >= iou_threshold, was not taken before; objects marked difficult, and COCO's crowds, do not count. Throws
// as evaluate_coco does, and unless 0 < iou_threshold <= 1.
VocFigures evaluate_voc(const DetectionDataset& truth, const DatasetDetections& detections,
                        double iou_threshold = 0.5);

}  // namespace fovea
