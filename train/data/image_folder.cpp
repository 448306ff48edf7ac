#include "train/data/image_folder.h"

#include <algorithm>

#include "core/error.h"
#include "core/file.h"
#include "train/data/image/image_io.h"
#include "train/data/listing.h"

namespace fovea {
namespace {

void read_class(const std::string& folder, int label, ClassificationDataset& dataset) {
  const size_t before = dataset.images.size();
  std::vector<std::string> others;
  for (const std::string& name : file_names(folder)) {
    if (has_image_ending(name))
      dataset.images.push_back({folder + "/" + name, label});
    else
      others.push_back(name);
  }
  if (!others.empty())
    dataset.warnings.push_back(fmt::format(
        "{}: {} left out whose name ends as no image's, the first is {}", folder,
        others.size() == 1 ? "1 file is" : fmt::format("{} files are", others.size()), others.front()));
  if (dataset.images.size() == before)
    dataset.warnings.push_back(fmt::format("{} holds no image: its class has none", folder));
}

void check_not_empty(const ClassificationDataset& dataset, const std::vector<std::string>& folders) {
  if (!dataset.images.empty()) return;
  for (const std::string& name : folders)
    require(folder_names(dataset.name + "/" + name).empty(),
            "{} holds no images but folders of folders: give one of them, such as {}/{}", dataset.name,
            dataset.name, name);
  fail("{} holds {} folders, but no image in any: files ending in {} are looked for", dataset.name,
       folders.size(), fmt::join(image_endings, ", "));
}

}  // namespace

ClassificationDataset read_image_folder(const std::string& folder,
                                        const std::vector<std::string>& class_names) {
  require(is_folder(folder), "{} is no folder: give one that holds a folder of images for each class",
          folder);
  const std::vector<std::string> folders = folder_names(folder);
  require(!folders.empty(), "{} holds no folders: one for each class, with its images, is expected", folder);

  ClassificationDataset dataset{.name = folder, .class_names = class_names.empty() ? folders : class_names};
  const std::vector<std::string>& known = dataset.class_names;
  for (const std::string& name : folders)
    require(std::find(known.begin(), known.end(), name) != known.end(),
            "{}/{} is a folder of the class \"{}\", which the model does not know: it knows {}", folder, name,
            name, fmt::join(known, ", "));
  for (size_t label = 0; label < known.size(); ++label) {
    if (std::binary_search(folders.begin(), folders.end(), known[label]))
      read_class(folder + "/" + known[label], int(label), dataset);
    else
      dataset.warnings.push_back(fmt::format("{} has no folder of the class \"{}\"", folder, known[label]));
  }
  check_not_empty(dataset, folders);
  return dataset;
}

std::vector<std::string> files_of(const ClassificationDataset& dataset) {
  std::vector<std::string> files;
  for (const auto& image : dataset.images) files.push_back(image.file);
  return files;
}

}  // namespace fovea
