#include "train/data/loader/image_folder_dataset.h"

#include <cstdio>
#include <mutex>
#include <set>

#include "core/error.h"

namespace fovea {
namespace {

// A program may read a folder again for evaluation, or to split it, so each fault is reported only once.
void print_new(const std::vector<std::string>& warnings) {
  static std::mutex mutex;
  static std::set<std::string> printed;
  const std::lock_guard lock(mutex);
  for (const std::string& warning : warnings)
    if (printed.insert(warning).second) fmt::print(stderr, "warning: {}\n", warning);
}

void check_size(const char* function, int size) {
  require(size >= 1, "[{}] `size` is {}: give the side of the inputs in pixels", function, size);
}

}  // namespace

ImageFolder::ImageFolder(const std::string& folder, const ImageFolderOptions& options)
    : listing_(read_image_folder(folder, options.class_names)),
      options_(options),
      images_(files_of(listing_), options.cache_mb << 20) {
  check_size("image_folder", options.size);
  if (options.print_warnings) print_new(listing_.warnings);
}

Example ImageFolder::get(int64_t index, Random& random) const {
  const ClassifiedImage& image = listing_.images.at(size_t(index));
  const Tensor input({options_.size, options_.size, 3});
  prepare_for_classification(*images_.get(size_t(index)), options_.size,
                             {options_.random_crop, options_.horizontal_flip, options_.colours}, random,
                             {input.span<float>(), options_.normalization});
  return {input, class_label(image.label)};
}

std::shared_ptr<const ImageFolder> image_folder(const std::string& folder,
                                                const ImageFolderOptions& options) {
  return std::make_shared<ImageFolder>(folder, options);
}

Tensor read_image_for_classifier(const std::string& path, int size, const Normalization& normalization) {
  check_size("read_image_for_classifier", size);
  const Tensor input({1, size, size, 3});
  prepare_for_classification(read_image(path), size, {input.span<float>(), normalization});
  return input;
}

}  // namespace fovea
