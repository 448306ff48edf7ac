#pragma once
#include <string>

#include "tests/support/test_data.h"
#include "train/detection/detector.h"
#include "train/loop/model_file.h"

namespace fovea {

// A detector's file in bytes, of a network that has learned nothing.
struct QuantizedFile {
  TemporaryFolder folder;
  std::string path = folder / "int8.safetensors";
  TrainingState state;
  Tensor images;
  QuantizedFile() {
    state.config.model = "efficientdet_d-3";
    state.config.image_size = "64";
    state.class_names = {"cell", "plate"};
    state.category_ids = {1, 2};
    Random random(5);
    images = randn({1, 64, 64, 3}, random);
  }

  Detector detector() const {
    Detector result(state.config, state.class_names);
    result.model().set_training(false);
    return result;
  }
  QuantizedNetwork write() const {
    QuantizedNetwork network = detector().recorded();
    network.calibrate(images);
    network.quantize();
    save_quantized(path, state, network);
    return network;
  }
};

}  // namespace fovea
