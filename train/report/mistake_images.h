#pragma once
#include <string>
#include <vector>

#include "train/evaluation/mistakes.h"
#include "train/report/run_report.h"

namespace fovea {

// An image's ground truth and detections, side by side, with words at mistakes and only a frame at what is
// right: "cat missed" beside "dog 0.91, is a cat", "cat 0.80 again", "cat 0.55 inexact", "dog 0.62 not
// there". Dashed: crowd regions and detections in them.
ReportImage draw_mistakes(const Image& image, const LabelledImage& labelled,
                          const std::vector<ScoredBox>& detections, const ImageMistakes& mistakes,
                          const std::vector<std::string>& class_names);

// One line for each image of the data set, in its order: "image,missed,false_alarms,wrong_class" as a CSV
// table, to find the bad ones with another program. Names with commas or quotes are quoted (RFC 4180).
std::string mistakes_csv(const Mistakes& mistakes, const DetectionDataset& dataset);

}  // namespace fovea
