#include <fmt/format.h>
#include <fovea/fovea.h>
#include <fovea/models/onnx/export.h>
#include <fovea/train/data/image/image_io.h>
#include <fovea/train/detection/matching.h>

#include <filesystem>

using namespace fovea;

// Three classes of images for the README's example: stripes across, stripes down, and a chequered pattern.
void draw_flowers() {
  for (int kind = 0; kind < 3; ++kind) {
    const std::string folder = fmt::format("flowers/class{}", kind);
    std::filesystem::create_directories(folder);
    for (int i = 0; i < 32; ++i) {
      Random random{uint64_t(kind), uint64_t(i)};
      Image image(48, 48);
      const int width = 4 + int(random.below(3));
      for (int y = 0; y < 48; ++y)
        for (int x = 0; x < 48; ++x) {
          const bool down = x / width % 2, across = y / width % 2;
          const bool bright = kind == 0 ? across : kind == 1 ? down : across != down;
          for (size_t c = 0; c < 3; ++c)
            image.pixels[size_t(y * 48 + x) * 3 + c] = uint8_t((bright ? 160 : 60) + random.below(40));
        }
      write_image(fmt::format("{}/{}.png", folder, i), image);
    }
  }
}

// Runs a detector, exports it and matches its anchors: something of every layer below the command line.
int main() {
  draw_flowers();
  Random random(1);
  EfficientDet model(efficientdet_spec("efficientdet_d-3"), 3, random);
  model.set_training(false);
  NoGrad no_grad;
  const DetectorOutput output = model.outputs(zeros({1, 128, 128, 3}));

  export_onnx("detector.onnx", model, {.height = 128, .width = 128});

  const AnchorMatcher matcher(generate_anchors(128, 128, model.spec().anchors), {});
  std::vector<int32_t> classes(size_t(output.class_logits.size(1)));
  std::vector<float> boxes(classes.size() * 4);
  const std::vector<Box> truths = {{10, 10, 60, 60}};
  const std::vector<int32_t> labels = {0};
  const MatchCounts counts = matcher.match({truths, labels}, classes, boxes);
  fmt::print("{} anchors, {} of them positive\n", classes.size(), counts.positives);
  return counts.positives > 0 ? 0 : 1;
}
