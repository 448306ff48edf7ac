#pragma once
#include <string>
#include <vector>

namespace fovea {

// An image and what is in it.
struct ClassifiedImage {
  std::string file;  // path that can be opened
  int label = 0;     // index into ClassificationDataset::class_names
};

// A data set of whole images, each of one class: the labels, not the pixels.
struct ClassificationDataset {
  std::string name;  // the folder it was read from
  std::vector<std::string> class_names;
  std::vector<ClassifiedImage> images;  // by class, then by name
  std::vector<std::string> warnings;    // one sentence for each fault that training can go on with
};

// Reads folder/<class>/*.{jpg,jpeg,png,bmp}: each folder in `folder` is a class and holds its images,
// those in folders within it too; one without an image is no class. Where
// the data set is split into folder/train/<class> and folder/val/<class>, give folder/train. `class_names`:
// empty to take the names of the folders, sorted; otherwise the classes a model knows, and the labels follow
// their order. Throws Error when the folder or the folders in it are missing, no image is found, or a
// folder is named as no class that the model knows; files that are no images and classes without images
// are warnings.
ClassificationDataset read_image_folder(const std::string& folder,
                                        const std::vector<std::string>& class_names = {});

// The files of a data set, for an ImageCache.
std::vector<std::string> files_of(const ClassificationDataset& dataset);

}  // namespace fovea
