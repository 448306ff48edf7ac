// Detections in COCO's results format.
#include "train/evaluation/results.h"

#include "tests/fuzz/harness.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fovea;
  static const DetectionDataset truth{
      .name = "truth.json",
      .class_names = {"cat", "dog"},
      .category_ids = {1, 18},
      .images = {{"1.png", 1, 40, 30, {{1, 2, 10, 10, 100, 0}}}, {"2.png", 42, 40, 30, {}}}};
  static MemoryFile file;
  file.set(data, size);
  result_or_error([&] {
    const DatasetDetections detections = read_coco_results(file.path(), truth);
    expect(detections.size() == truth.images.size());
    evaluate_coco(truth, detections);
  });
  return 0;
}
