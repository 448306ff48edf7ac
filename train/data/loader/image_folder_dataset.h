#pragma once
#include <memory>

#include "train/data/augment/augment.h"
#include "train/data/image/image_cache.h"
#include "train/data/image_folder.h"
#include "train/data/loader/dataset.h"

namespace fovea {

// Options of image_folder().
struct ImageFolderOptions {
  int size = 224;                // height and width of the inputs in pixels
  bool random_crop = false;      // a random part of the image (ClassifierAugmentation); false: the centre
  bool horizontal_flip = false;  // mirrors half of the images
  ColourJitter colours;          // random changes of colour
  Normalization normalization;   // what the network expects
  std::vector<std::string> class_names;  // the classes of a model; empty: the names of the folders
  int64_t cache_mb = 1024;     // memory for decoded images, which are not decoded again while they fit
  bool print_warnings = true;  // false: classes without images and files that are not images are not reported
};

// Images for a classifier from a folder for each class: inputs (size, size, 3) as prepare_for_classification
// makes them, and a class_label() each.
class ImageFolder : public Dataset {
 public:
  // Prints the warnings of the listing to stderr, each once in the life of the program. Throws as
  // read_image_folder does, and if `size` is below 1.
  ImageFolder(const std::string& folder, const ImageFolderOptions& options);

  int64_t size() const override { return int64_t(listing_.images.size()); }
  // Throws Error naming the file if it cannot be decoded.
  Example get(int64_t index, Random& random) const override;
  std::vector<std::string> class_names() const override { return listing_.class_names; }

  const ClassificationDataset& listing() const { return listing_; }  // the files, and warnings about them

 private:
  ClassificationDataset listing_;
  ImageFolderOptions options_;
  mutable ImageCache images_;
};

// The same as the constructor.
std::shared_ptr<const ImageFolder> image_folder(const std::string& folder,
                                                const ImageFolderOptions& options = {});

// One image for a network that was trained on an ImageFolder of this `size`: (1, size, size, 3) on the CPU,
// the same numbers as from ImageFolder without augmentation. Throws as read_image does, and if `size` is
// below 1.
Tensor read_image_for_classifier(const std::string& path, int size = 224,
                                 const Normalization& normalization = {});

}  // namespace fovea
