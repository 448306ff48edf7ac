#pragma once
#include <map>
#include <string>
#include <vector>

namespace fovea {

// The annotation file of one split in COCO's format, and the folders in which to look for its images.
struct CocoSplit {
  std::string file;
  std::vector<std::string> image_folders;
};

// The splits by their names; none if the folder has no such layout. The first of these layouts applies:
//   annotations/instances_<split>.json or annotations/<split>.json, the images in <split>/, images/<split>/,
//     images/ or the folder itself
//   <split>/_annotations.coco.json or another COCO file, the images beside it
//   a COCO file in the folder itself, such as result.json, the images in images/ or beside it: the split in
//     its name, else "all"
std::map<std::string, CocoSplit> find_coco_splits(const std::string& folder);

}  // namespace fovea
