#pragma once
#include <string>

#include "tests/support/test_data.h"
#include "train/data/synth/synth.h"

namespace fovea {

// A data set that is drawn once for all tests of a program: its folder. Twelve images to train on, four to
// validate on, of three classes, 96 x 80 pixels, in COCO's layout.
inline const std::string& shapes() {
  static const TemporaryFolder folder;
  static const std::string path = [] {
    synthesize_dataset(folder / "shapes",
                       {.train_images = 12, .val_images = 4, .width = 96, .height = 80, .classes = 3});
    return folder / "shapes";
  }();
  return path;
}

}  // namespace fovea
