#pragma once
#include <span>
#include <string>
#include <vector>

#include "train/data/dataset.h"
#include "train/data/problem.h"

namespace fovea {

// One split among others.
struct DatasetSplit {
  std::string name;
  DetectionDataset dataset;              // its labels index DatasetSplits::class_names
  std::vector<RawBox> raw_boxes;         // only with a log
  std::vector<std::string> own_classes;  // those of this split's file
};

// A whole data set: its splits under one list of classes.
struct DatasetSplits {
  DatasetFormat format = DatasetFormat::none;
  std::vector<std::string> class_names;  // of all splits, first those of train
  std::vector<int> category_ids;         // of each class, from the split where it first occurs
  std::vector<DatasetSplit> splits;      // train, val, then the others by name
  std::vector<std::string> unlisted;     // a sentence for each picture in the folder that no split has
};

// Opens the named splits, or all splits of the folder if `names` is empty. Throws as open_dataset does. With
// a log, a split that cannot be opened is a fault there, and the other splits are returned. If all are
// opened, it also finds the pictures in the folder that none of them has.
DatasetSplits open_splits(const std::string& folder, std::vector<std::string> names = {},
                          ReadLog* log = nullptr);

// A sentence for each picture in the folder that neither `datasets` nor any other split of the folder lists,
// in its order. `opened` names the splits of which open_dataset() made `datasets`; the other splits are
// opened only if pictures remain, and one that cannot be opened lists none. Empty if the folder has no
// layout.
std::vector<std::string> unlisted_pictures(const std::string& folder, const std::vector<std::string>& opened,
                                           std::span<const DetectionDataset* const> datasets);

// Splits that join others, such as VOC's trainval: all their images are in smaller splits, at least one of
// which they contain completely. A count over all splits would count those images twice.
std::vector<std::string> joined_splits(const DatasetSplits& data);

}  // namespace fovea
