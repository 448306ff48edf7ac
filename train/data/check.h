#pragma once
#include <array>
#include <string>
#include <vector>

#include "train/data/anchor_fit.h"
#include "train/data/image_scan.h"
#include "train/data/splits.h"

namespace fovea {

// What check_dataset() checks, and for which input of a network.
struct DatasetCheckOptions {
  std::vector<std::string> splits;  // empty: all of the folder
  std::array<int, 2> image_size{0,
                                0};  // height and width of the input; 0: suited_image_size of `longer_side`
  int longer_side = 512;             // the model's own
  double anchor_scale = 0;           // 0: default_anchor_scale of the longer side
  AnchorOptions anchors;             // except for the scale
  OnScanned on_scanned;              // called while images are decoded
};

// How the boxes fit the anchors at one size of the input.
struct BoxFit {
  int height = 0, width = 0;  // of the input
  double anchor_scale = 0;
  double smallest_anchor = 0, largest_anchor = 0;  // sides in pixels of the input
  int64_t boxes = 0;                               // all but crowds
  int64_t below_half = 0, below_third = 0;         // whose best anchor has an IoU below 0.5, below 0.3
  std::vector<double> sides;                       // of each box, in pixels of the input, sorted
};

// The contents of a data set, and its faults.
struct DatasetCheck {
  DatasetSplits data;
  std::vector<std::string> joined;  // the splits that join others, see joined_splits
  std::vector<Problem> faults;      // by kind, worst first
  BoxFit fit;
  InputChoice suggestion;

  bool is_joined(const std::string& split) const;  // whether it is one of `joined`
  int64_t count(ProblemKind kind) const;           // how many faults there are of this kind
  bool can_be_trained() const;                     // no fault is an error
};

// Reads all annotations, decodes all images, and looks for the faults that ProblemKind lists. Throws Error if
// the folder holds no data set; a split that cannot be opened is a fault.
DatasetCheck check_dataset(const std::string& folder, const DatasetCheckOptions& options = {});

}  // namespace fovea
