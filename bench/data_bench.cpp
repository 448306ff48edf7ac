// Times the parts of loading images for a network, in images per second of one core: decoding a file in
// memory, making the training image of a 512 px input from it, and copying that. It then times the COCO
// evaluation of 5,000 images, on all threads.
//   data_bench [FOLDER...]    640 x 480 px JPEGs that are made here, and the first 200 images of each folder
#include <algorithm>
#include <ctime>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/file.h"
#include "core/parallel.h"
#include "cuda/runtime/device.h"
#include "train/data/augment/augment.h"
#include "train/data/image/image_io.h"
#include "train/data/synth/synth_scene.h"
#include "train/diagnose/timing.h"
#include "train/evaluation/coco_evaluation.h"

using namespace fovea;

namespace {

constexpr int input_size = 512, repeats = 3;
constexpr size_t made_images = 20, most_images = 200;

std::vector<std::string> made_files() {
  std::vector<std::string> files;
  Random random(1);
  for (size_t i = 0; i < made_images; ++i)
    files.push_back(encode_jpeg(draw_scene(640, 480, 6, random).image, 90));
  return files;
}

std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> paths, files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    if (has_image_ending(entry.path().string())) paths.push_back(entry.path().string());
  std::sort(paths.begin(), paths.end());
  paths.resize(std::min(paths.size(), most_images));
  for (const std::string& path : paths) files.push_back(read_file(path));
  return files;
}

// Measures processor time, which is that of the one thread, however busy the machine is.
void row(const char* what, size_t images, const std::function<void()>& f) {
  std::vector<double> times;
  for (int i = 0; i < repeats; ++i) {
    const std::clock_t begin = std::clock();
    f();
    times.push_back(double(std::clock() - begin) / CLOCKS_PER_SEC);
  }
  const double seconds = median_of(times) / double(images);
  fmt::print("  {:<34} {:>8.0f} images/s  {:>7.3f} ms/image\n", what, 1 / seconds, 1e3 * seconds);
}

// The kernel that makes a batch's input from the bytes, timed between two events.
void on_device(const std::vector<Image>& images) {
  const int64_t n = std::min<int64_t>(int64_t(images.size()), 16);
  Random random(1);
  const InputBatch batch({n, input_size, input_size, 3}, DType::bfloat16, Device::cuda);
  for (int64_t i = 0; i < n; ++i)
    prepare_for_training(images[size_t(i)], {}, input_size, input_size, {.scale_min = 0.5, .scale_max = 1.5},
                         random, batch.image(i));
  const Tensor bytes = batch.packed->bytes().to(Device::cuda), input = batch.packed->empty_input();
  const double seconds =
      median_of(times_of(Device::cuda, 20, [&] { batch.packed->unpack(bytes, input); })) / double(n);
  fmt::print("  {:<34} {:>8.0f} images/s  {:>7.4f} ms/image, {:.2f} MB of bytes\n", "kernel on the device",
             1 / seconds, 1e3 * seconds, double(batch.packed->used()) / double(n) / 1e6);
}

void read_images(const std::string& name, const std::vector<std::string>& files) {
  if (files.empty()) return fmt::print("{}: no images\n", name);
  std::vector<Image> images;
  const auto decode = [&] {
    images.clear();
    for (const std::string& file : files) images.push_back(decode_image(file, name));
  };
  decode();
  double pixels = 0, bytes = 0;
  for (const Image& image : images) pixels += double(image.width) * image.height;
  for (const std::string& file : files) bytes += double(file.size());
  const double n = double(files.size());
  fmt::print("{}: {} images of {:.2f} megapixels in {:.0f} KB\n", name, files.size(), pixels / n / 1e6,
             bytes / n / 1e3);
  row("decode", files.size(), decode);
  std::vector<float> input(size_t(input_size) * input_size * 3), copy(input.size());
  const auto augment = [&](const AugmentOptions& options) {
    Random random(1);
    for (const Image& image : images)
      prepare_for_training(image, {}, input_size, input_size, options, random, input);
  };
  row("augment", files.size(), [&] { augment({.scale_min = 0.5, .scale_max = 1.5}); });
  row("augment, with colours", files.size(), [&] {
    augment({.scale_min = 0.5, .scale_max = 1.5, .colours = {0.2, 0.2, 0.2, 0.05}});
  });
  row("pack for the device", files.size(), [&] {
    Random random(1);
    for (const Image& image : images) {
      PackedImages packed({1, input_size, input_size, 3}, DType::bfloat16);
      prepare_for_training(image, {}, input_size, input_size, {.scale_min = 0.5, .scale_max = 1.5}, random,
                           InputImage(packed, 0));
    }
  });
  if (!cuda::is_simulated()) on_device(images);
  row("copy of the input, float32", files.size(), [&] {
    for (size_t i = 0; i < files.size(); ++i) std::copy(input.begin(), input.end(), copy.begin());
  });
}

// As many objects and results as on COCO's val2017 with a good detector: 7 objects of 80 classes and 100
// results per image, one in twelve of them near an object.
void evaluate_5000_images() {
  constexpr int count = 5000, classes = 80, objects = 7, results = 100;
  Random random(1);
  DetectionDataset truth;
  for (int i = 0; i < classes; ++i) truth.class_names.push_back(std::to_string(i));
  DatasetDetections found(count);
  for (size_t i = 0; i < count; ++i) {
    LabelledImage image{"", int64_t(i), 640, 480, {}};
    for (int k = 0; k < objects; ++k) {
      const double width = random.uniform(8, 200), height = random.uniform(8, 200);
      image.annotations.push_back({random.uniform(0, 440), random.uniform(0, 280), width, height,
                                   width * height, int(random.below(classes))});
    }
    for (int k = 0; k < results; ++k) {
      const Annotation& near = image.annotations[size_t(random.below(objects))];
      const bool hit = random.chance(1 / 12.0);
      const double shift = hit ? random.uniform(-4, 4) : random.uniform(-200, 200);
      found[i].push_back({near.x + shift, near.y + shift, near.width, near.height,
                          random.uniform(hit ? 0.3f : 0.001f, 1),
                          hit ? near.label : int(random.below(classes))});
    }
    truth.images.push_back(image);
  }
  double ap = 0;
  const double seconds =
      median_of(times_of(Device::cpu, repeats, [&] { ap = evaluate_coco(truth, found).ap; }));
  fmt::print("COCO evaluation of {} images, {} results (AP {:.3f}): {:.2f} s on {} threads\n", count,
             count * results, ap, seconds, num_threads());
}

}  // namespace

int main(int argc, char** argv) try {
  evaluate_5000_images();
  set_num_threads(1);
  read_images("made JPEGs of 640 x 480 px", made_files());
  for (int i = 1; i < argc; ++i) read_images(argv[i], files_in(argv[i]));
  return 0;
} catch (const Error& error) {
  fmt::print(stderr, "error: {}\n", error.what());
  return 1;
}
