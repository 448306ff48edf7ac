#include "train/data/loader/mnist.h"

#include "core/error.h"
#include "train/data/loader/array_dataset.h"
#include "train/data/loader/idx.h"

namespace fovea {
namespace {

const std::vector<std::string> digits{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};

Tensor read_images(const std::string& path) {
  const Tensor images = read_idx(path);
  require(images.rank() == 3, "{} has the sizes {}: images have three, number, height and width", path,
          images.shape());
  return images.viewed_as({images.size(0), images.size(1), images.size(2), 1});
}

Tensor read_labels(const std::string& path) {
  const Tensor bytes = read_idx(path);
  require(bytes.rank() == 1, "{} has the sizes {}: labels have one, their number", path, bytes.shape());
  const Tensor labels(bytes.shape(), DType::int32);
  for (int64_t i = 0; i < bytes.numel(); ++i) {
    const uint8_t label = bytes.data<uint8_t>()[i];
    constexpr int64_t header = 8;
    require(label < digits.size(), "{} has the label {} at offset {}: labels are 0 to 9", path, label,
            header + i);
    labels.data<int32_t>()[i] = label;
  }
  return labels;
}

}  // namespace

std::shared_ptr<const Dataset> mnist(const std::string& folder, bool train) {
  const std::string prefix = folder + (train ? "/train-" : "/t10k-");
  const std::string image_file = prefix + "images-idx3-ubyte", label_file = prefix + "labels-idx1-ubyte";
  const Tensor images = read_images(image_file), labels = read_labels(label_file);
  require(images.size(0) == labels.size(0), "{} has {} images, but {} has {} labels", image_file,
          images.size(0), label_file, labels.size(0));
  return array_dataset(images, labels, {.class_names = digits, .unit_range = true});
}

}  // namespace fovea
