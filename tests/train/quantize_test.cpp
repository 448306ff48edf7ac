// A detector in bytes and its file: from a checkpoint to `fovea quantize` and back.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/error_of.h"
#include "tests/support/quantized_file.h"

using namespace fovea;

TEST_CASE("a quantised detector comes back from its file with the same bits") {
  const QuantizedFile written;
  const Tensors expected = written.write().outputs(written.images);
  const ModelFile file(written.path);
  CHECK(file.is_quantized());
  CHECK(file.state().class_names == written.state.class_names);
  const DetectorOutput output = Detector(file).outputs(written.images);
  CHECK(output.class_logits.values() == expected[0].values());
  CHECK(output.box_codes.values() == expected[1].values());
  CHECK(error_of([&] { Detector(file, Device::cuda); }).find("run only on the CPU") != std::string::npos);
  const Detector detector = written.detector();
  CHECK(
      error_of([&] { file.restore(detector.model()); }) ==
      written.path +
          " is quantised: it holds bytes instead of the weights. Give the checkpoint that it was made from");
}

TEST_CASE("a damaged quantised file is refused with one sentence") {
  const QuantizedFile written;
  written.write();
  {
    std::fstream file(written.path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-5, std::ios::end);
    file.put('\x55');
  }
  CHECK(error_of([&] { ModelFile(written.path); }) ==
        written.path + " was altered after it was written: the checksum of its numbers does not match");
  std::filesystem::resize_file(written.path, std::filesystem::file_size(written.path) - 3);
  CHECK(error_of([&] { ModelFile(written.path); }).find(written.path) != std::string::npos);
  QuantizedFile other;
  other.state.config.model = "efficientdet_d-2";
  const QuantizedNetwork network = other.write();
  TrainingState state = other.state;
  state.config.model = "efficientdet_d-3";  // the tensors are those of another network
  save_quantized(other.path, state, network);
  CHECK(error_of([&] { Detector(ModelFile(other.path)); }).find("is a checkpoint of another model") !=
        std::string::npos);
}
