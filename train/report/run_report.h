#pragma once
#include <string>
#include <utility>
#include <vector>

#include "train/data/image/image.h"
#include "train/evaluation/coco_evaluation.h"
#include "train/evaluation/confusion.h"

namespace fovea {

// One line of a chart.
struct Curve {
  std::string name;  // "loss", "AP50", ...
  std::vector<double> x, y;
};

// Curves over one axis.
struct Chart {
  std::string title, x_label, y_label;
  std::vector<Curve> curves;  // drawn over each other, with a legend
};

// One example image: the ground truth and the detections, side by side, both already drawn; or, with
// `detections` empty, a single image.
struct ReportImage {
  std::string caption;
  Image truth, detections;
  std::string why = {};  // its mistakes in words; may be empty
};

// The content of report.html, a single file that needs no other file and no network: it contains styles,
// charts (SVG) and images (JPEG).
struct RunReport {
  std::string title;  // "efficientdet_d-2 on bccd"
  std::vector<std::pair<std::string, std::string>>
      summary;                // name, value: the settings and results worth a line
  std::vector<Chart> charts;  // learning curves
  std::vector<std::string> class_names;
  CocoFigures figures;             // tables and PR curves; left out if classes is empty
  std::string mistakes;            // describes what `confusion` counts, and how
  ConfusionMatrix confusion;       // left out if empty
  std::vector<ReportImage> worst;  // the images with most errors, the worst first
  std::vector<ReportImage> images;
};

// Written atomically. All text is escaped.
void write_run_report(const std::string& path, const RunReport& report);

}  // namespace fovea
