#include "train/data/loader/image_folder_dataset.h"

#include "core/error.h"
#include "train/data/augment/augment.h"

namespace fovea {

ImageFolder::ImageFolder(const std::string& folder, const ImageFolderOptions& options)
    : listing_(read_image_folder(folder, options.class_names)),
      options_(options),
      images_(files_of(listing_), options.cache_mb << 20) {
  require(options.size >= 1, "[image_folder] `size` is {}: give the side of the inputs in pixels",
          options.size);
}

Example ImageFolder::get(int64_t index, Random& random) const {
  const ClassifiedImage& image = listing_.images.at(size_t(index));
  const Tensor input({options_.size, options_.size, 3});
  prepare_for_classification(*images_.get(size_t(index)), options_.size, options_.augment, random,
                             input.span<float>(), options_.colours);
  return {input, class_label(image.label)};
}

std::shared_ptr<const ImageFolder> image_folder(const std::string& folder,
                                                const ImageFolderOptions& options) {
  return std::make_shared<ImageFolder>(folder, options);
}

}  // namespace fovea
