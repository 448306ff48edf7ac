#pragma once
#include <map>
#include <string>
#include <vector>

namespace fovea {

// The places of the images of one split in Pascal VOC's format.
struct VocSplit {
  std::string xml_folder;
  std::vector<std::string> image_folders;  // searched in turn
  std::string list;                        // a file that names the images; empty for all of xml_folder
};

// A data set of XML files; empty if the folder holds none.
struct VocLayout {
  std::vector<std::string> xml_folders;  // of all splits
  std::map<std::string, VocSplit> splits;
};

// The first of these layouts that the folder has:
//   Annotations/ (or annotations/) with the images in JPEGImages/, images/, beside them or in the folder, and
//     ImageSets/Main/<split>.txt; without those lists the split "all"
//   <split>/ with images and XML files, or with the folders Annotations/ and JPEGImages/
//   images and XML files in the folder itself, the split "all"
VocLayout find_voc_layout(const std::string& folder);

}  // namespace fovea
