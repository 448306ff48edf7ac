#include "train/data/image_folder.h"

#include <algorithm>
#include <map>

#include "core/error.h"
#include "core/file.h"
#include "core/utf8.h"
#include "train/data/files/listing.h"
#include "train/data/image/image_io.h"
#include "train/data/problem.h"

namespace fovea {
namespace {

// Also reads the images in subfolders of the class's folder.
void read_class(const std::string& folder, int label, ClassificationDataset& dataset,
                std::vector<std::string>& others) {
  for (const std::string& name : file_names(folder)) {
    if (has_image_ending(name))
      dataset.images.push_back({folder + "/" + name, label});
    else
      others.push_back(name);
  }
  for (const std::string& name : folder_names(folder))
    read_class(folder + "/" + name, label, dataset, others);
}

void read_class(const std::string& folder, int label, ClassificationDataset& dataset) {
  const size_t before = dataset.images.size();
  std::vector<std::string> others;
  read_class(folder, label, dataset, others);
  if (!others.empty())
    dataset.warnings.push_back(fmt::format(
        "{}: {} left out without an image extension, the first is {}", folder,
        others.size() == 1 ? "1 file is" : fmt::format("{} files are", others.size()), others.front()));
  if (dataset.images.size() == before)
    dataset.warnings.push_back(fmt::format("{} holds no image: its class has none", folder));
}

bool has_image(const std::string& folder) {
  const std::vector<std::string> files = file_names(folder), folders = folder_names(folder);
  return std::any_of(files.begin(), files.end(), has_image_ending) ||
         std::any_of(folders.begin(), folders.end(),
                     [&](const std::string& name) { return has_image(folder + "/" + name); });
}

// In a folder of splits the images lie further down, and the splits would be taken for classes.
void check_has_images(const std::string& folder, const std::vector<std::string>& names) {
  const auto has_own = [&](const std::string& name) {
    const std::vector<std::string> files = file_names(folder + "/" + name);
    return std::any_of(files.begin(), files.end(), has_image_ending);
  };
  if (std::any_of(names.begin(), names.end(), has_own)) return;
  for (const std::string& name : names)
    require(folder_names(folder + "/" + name).empty(),
            "{0} holds no images, only folders of folders: give one of them, such as {0}/{1}", folder, name);
  fail("{} holds {} folders, but no image in any: expected files ending in .jpg, .jpeg, .png or .bmp", folder,
       names.size());
}

}  // namespace

ClassificationDataset read_image_folder(const std::string& folder,
                                        const std::vector<std::string>& class_names) {
  require(is_folder(folder), "{} is not a folder: give one that holds a folder of images for each class",
          folder);
  const std::vector<std::string> names = folder_names(folder);
  require(!names.empty(), "{} holds no folders: expected one for each class, with its images", folder);
  check_has_images(folder, names);

  ClassificationDataset dataset{.name = folder, .class_names = class_names};
  std::map<std::string, std::string> folders;  // by class, whose name is UTF-8
  for (const std::string& name : names) {
    const std::string class_name = escape_bytes(name), path = folder + "/" + name;
    const bool is_known = std::count(class_names.begin(), class_names.end(), class_name) > 0;
    const bool is_class = has_image(path);
    require(!is_class || is_known || class_names.empty(),
            "{}/{} is a folder of the class \"{}\", which the model does not have: it has {}", folder, name,
            class_name, some_of(class_names));
    if (!is_class && !is_known) dataset.warnings.push_back(path + " holds no image: it is not a class");
    if (is_class || is_known) folders[class_name] = path;
    if (is_class && class_names.empty()) dataset.class_names.push_back(class_name);
  }
  for (size_t label = 0; label < dataset.class_names.size(); ++label) {
    const auto found = folders.find(dataset.class_names[label]);
    if (found != folders.end())
      read_class(found->second, int(label), dataset);
    else
      dataset.warnings.push_back(
          fmt::format("{} has no folder of the class \"{}\"", folder, dataset.class_names[label]));
  }
  return dataset;
}

std::vector<std::string> files_of(const ClassificationDataset& dataset) {
  std::vector<std::string> files;
  for (const auto& image : dataset.images) files.push_back(image.file);
  return files;
}

}  // namespace fovea
