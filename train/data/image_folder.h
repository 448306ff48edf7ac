#pragma once
#include <string>
#include <vector>

namespace fovea {

// An image and its class.
struct ClassifiedImage {
  std::string file;  // path that can be opened
  int label = 0;     // index into ClassificationDataset::class_names
};

// A data set of whole images, each of one class: the labels, not the pixels.
struct ClassificationDataset {
  std::string name;  // the folder it was read from
  std::vector<std::string> class_names;
  std::vector<ClassifiedImage> images;  // by class, then by name
  std::vector<std::string> warnings;    // one sentence for each fault that does not prevent training
};

// Reads folder/<class>/*.{jpg,jpeg,png,bmp}: each folder in `folder` is a class and holds its images, also in
// subfolders; a folder without an image is not a class. If the data set is split into folder/train/<class>
// and folder/val/<class>, give folder/train. If `class_names` is empty, the classes are the names of the
// folders, sorted; otherwise they are the classes of a model, and the labels follow their order. Throws Error
// if the folder or the folders in it are missing, no image is found, or a folder's name is not a class of the
// model; files that are not images and classes without images are warnings.
ClassificationDataset read_image_folder(const std::string& folder,
                                        const std::vector<std::string>& class_names = {});

// The files of a data set, for an ImageCache.
std::vector<std::string> files_of(const ClassificationDataset& dataset);

}  // namespace fovea
