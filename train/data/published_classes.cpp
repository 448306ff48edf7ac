#include "train/data/published_classes.h"

#include <iterator>
#include <sstream>

#include "core/error.h"
#include "core/utf8.h"
#include "train/data/files/text_file.h"

namespace fovea {
namespace {

// COCO's categories by id - 1; ids without a category are empty.
constexpr const char* coco_classes[] = {"person",
                                        "bicycle",
                                        "car",
                                        "motorcycle",
                                        "airplane",
                                        "bus",
                                        "train",
                                        "truck",
                                        "boat",
                                        "traffic light",
                                        "fire hydrant",
                                        "",
                                        "stop sign",
                                        "parking meter",
                                        "bench",
                                        "bird",
                                        "cat",
                                        "dog",
                                        "horse",
                                        "sheep",
                                        "cow",
                                        "elephant",
                                        "bear",
                                        "zebra",
                                        "giraffe",
                                        "",
                                        "backpack",
                                        "umbrella",
                                        "",
                                        "",
                                        "handbag",
                                        "tie",
                                        "suitcase",
                                        "frisbee",
                                        "skis",
                                        "snowboard",
                                        "sports ball",
                                        "kite",
                                        "baseball bat",
                                        "baseball glove",
                                        "skateboard",
                                        "surfboard",
                                        "tennis racket",
                                        "bottle",
                                        "",
                                        "wine glass",
                                        "cup",
                                        "fork",
                                        "knife",
                                        "spoon",
                                        "bowl",
                                        "banana",
                                        "apple",
                                        "sandwich",
                                        "orange",
                                        "broccoli",
                                        "carrot",
                                        "hot dog",
                                        "pizza",
                                        "donut",
                                        "cake",
                                        "chair",
                                        "couch",
                                        "potted plant",
                                        "bed",
                                        "",
                                        "dining table",
                                        "",
                                        "",
                                        "toilet",
                                        "",
                                        "tv",
                                        "laptop",
                                        "mouse",
                                        "remote",
                                        "keyboard",
                                        "cell phone",
                                        "microwave",
                                        "oven",
                                        "toaster",
                                        "sink",
                                        "refrigerator",
                                        "",
                                        "book",
                                        "clock",
                                        "vase",
                                        "scissors",
                                        "teddy bear",
                                        "hair drier",
                                        "toothbrush"};

constexpr const char* imagenet_classes[] = {
#include "imagenet_classes.inc"  // made from imagenet_classes.txt
};

}  // namespace

std::vector<std::string> published_class_names(bool detector, size_t classes) {
  std::vector<std::string> names;
  for (size_t i = 0; i < classes; ++i) {
    if (detector && classes == std::size(coco_classes))
      names.push_back(*coco_classes[i] ? coco_classes[i] : fmt::format("unused {}", i + 1));
    else if (!detector && classes == std::size(imagenet_classes))
      names.push_back(imagenet_classes[i]);
    else
      names.push_back(fmt::format("class {}", i));
  }
  return names;
}

std::vector<std::string> read_class_names(const std::string& path, size_t classes) {
  std::istringstream lines(read_text(path));
  std::vector<std::string> names;
  for (std::string line; std::getline(lines, line);) {
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty() && line[0] != '#') names.push_back(escape_bytes(line));
  }
  require(names.size() == classes,
          "{} has {} class names, but the weights have {} classes: give one name per line", path,
          names.size(), classes);
  return names;
}

}  // namespace fovea
