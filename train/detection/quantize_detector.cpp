#include "train/detection/quantize_detector.h"

#include <algorithm>

#include "core/error.h"
#include "train/data/augment/augment.h"
#include "train/data/image/image_io.h"

namespace fovea {

QuantizedNetwork quantize_detector(const Detector& detector, const DetectionDataset& dataset, int64_t count) {
  require(count >= 1, "`images` is {}: calibrate on at least one image", count);
  require(detector.device() == Device::cpu, "[quantize] the network is on {}: move it to the CPU before",
          name(detector.device()));
  QuantizedNetwork network = detector.recorded();
  const int64_t all = int64_t(dataset.images.size());
  count = std::min(count, all);
  for (int64_t i = 0; i < count; ++i) {
    const InputBatch input = detector.input(1);
    prepare_for_evaluation(read_image(dataset.images[size_t(i * all / count)].file), {}, detector.height(),
                           detector.width(), input.image(0));
    network.calibrate(input.pixels);
  }
  network.quantize();
  return network;
}

}  // namespace fovea
