// The messages of a build without ONNX, libexif, libwebp, libtiff and yaml-cpp when they are needed. This
// program compiles the sources in question without them (tests/CMakeLists.txt), and links everything else
// from the libraries.
#include <catch2/catch.hpp>

#include "core/error.h"
#include "core/file.h"
#include "models/onnx/export.h"
#include "tests/support/test_data.h"
#include "train/data/image/image_io.h"
#include "train/data/layout/yolo_layout.h"

using namespace fovea;
using namespace std::string_literals;

TEST_CASE("without ONNX a network is not exported") {
  Random random(1);
  const EfficientNet model(efficientnet_spec("efficientnet_b0"), 2, random);
  CHECK_THROWS_WITH(export_onnx("first.onnx", model, {}),
                    "first.onnx cannot be written: this build has no ONNX; install libonnx-dev and "
                    "libprotobuf-dev, and build Fovea again");
}

TEST_CASE("without libexif images are read unless they have an EXIF block, which might turn them") {
  const std::string jpeg = encode_jpeg(Image(16, 16), 95);
  CHECK(decode_image(jpeg, "drawing.jpg").width == 16);
  const std::string payload = "Exif\0\0II*\0\x08\0\0\0"s;
  const std::string photograph =
      jpeg.substr(0, 2) + "\xFF\xE1\0"s + char(payload.size() + 2) + payload + jpeg.substr(2);
  const std::string message =
      "photograph.jpg may have to be turned upright, which this build cannot do: install libexif-dev, and "
      "build Fovea again";
  CHECK_THROWS_WITH(decode_image(photograph, "photograph.jpg"), message);
  CHECK_THROWS_WITH(decode_image_header(photograph, "photograph.jpg"), message);
}

TEST_CASE("without yaml-cpp a YOLO data set with a YAML file is recognised and not read") {
  const TemporaryFolder folder;
  const std::string file = folder / "cats.yaml";
  write_file_atomically(file, "train: images/train\nnames: [cat, dog]\n");
  CHECK_THROWS_WITH(
      find_yolo_layout(folder.path()),
      file + " cannot be read: this build has no YAML; install libyaml-cpp-dev, and build Fovea again");
  write_file_atomically(file, "title: no data set\n");
  CHECK_FALSE(find_yolo_layout(folder.path()).has_value());
}

TEST_CASE("without libwebp and libtiff their images are recognised and not read") {
  const std::string images = std::string(FOVEA_SOURCE_DIR) + "/tests/golden/images/";
  const std::string
      webp = " is a WebP image, which this build cannot read: install libwebp-dev, and build Fovea again",
      tiff = " is a TIFF image, which this build cannot read: install libtiff-dev, and build Fovea again";
  CHECK_THROWS_WITH(read_image(images + "lossless.webp"), images + "lossless.webp" + webp);
  CHECK_THROWS_WITH(read_image_header(images + "lossless.webp"), images + "lossless.webp" + webp);
  CHECK_THROWS_WITH(read_image(images + "lzw.tif"), images + "lzw.tif" + tiff);
  CHECK(read_image(images + "palette.gif").width == 24);
}
