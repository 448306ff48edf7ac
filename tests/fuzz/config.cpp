// Configurations of a training.
#include "train/loop/config.h"

#include "tests/fuzz/harness.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fovea;
  result_or_error([&] {
    const TrainConfig config =
        config_from_json(std::string(reinterpret_cast<const char*>(data), size), "config.json");
    expect(config_from_json(config_to_json(config), "config.json") == config);
    check_config(config);
    parse_image_size(config.image_size);
    activation_dtype(config);
  });
  return 0;
}
