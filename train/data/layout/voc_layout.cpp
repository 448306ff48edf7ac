#include "train/data/layout/voc_layout.h"

#include <algorithm>
#include <filesystem>

#include "core/error.h"
#include "core/file.h"
#include "train/data/files/listing.h"
#include "train/data/files/text_file.h"
#include "train/data/layout/split_name.h"

namespace fovea {
namespace {

bool has_xml(const std::string& folder) { return !file_names(folder, ".xml").empty(); }

// Besides the lists of images VOC has lists for one class, such as cat_train.txt, whose lines are "<stem> 1"
// or -1 or 0. These are not splits; but the name of an image may also end like that.
bool is_class_list(const std::string& file, const std::string& xml_folder) {
  bool has_line = false;
  for (const std::string& line : read_lines(file)) {
    if (line.empty()) continue;
    const bool marked = line.ends_with(" 1") || line.ends_with(" -1") || line.ends_with(" 0");
    if (!marked || is_file(fmt::format("{}/{}.xml", xml_folder, line))) return false;
    has_line = true;
  }
  return has_line;
}

// The split in a folder with its XML files in a separate folder, or beside the images.
std::vector<VocSplit> split_in(const std::string& folder) {
  for (const char* name : {"/Annotations", "/annotations"})
    if (has_xml(folder + name))
      return {{folder + name, {folder + "/JPEGImages", folder + "/images", folder + name, folder}, ""}};
  const std::vector<std::string> files = file_names(folder, ".xml");
  const bool annotations =
      !files.empty() && read_file(folder + "/" + files.front()).find("<annotation") != std::string::npos;
  return annotations ? std::vector<VocSplit>{{folder, {folder}, ""}} : std::vector<VocSplit>{};
}

void add_lists(const std::string& folder, const VocSplit& whole, std::map<std::string, VocSplit>& splits) {
  for (const std::string& name : file_names(folder + "/ImageSets/Main", ".txt")) {
    const std::string list = folder + "/ImageSets/Main/" + name;
    if (is_class_list(list, whole.xml_folder)) continue;
    splits[split_name(name.substr(0, name.size() - 4))] = {whole.xml_folder, whole.image_folders, list};
  }
  if (splits.empty()) splits[only_split] = whole;
}

}  // namespace

VocLayout find_voc_layout(const std::string& folder) {
  VocLayout layout;
  const std::vector<VocSplit> whole = split_in(folder);
  if (!whole.empty()) {
    add_lists(folder, whole.front(), layout.splits);
  } else {
    for (const std::string& name : folder_names(folder))
      for (const VocSplit& split : split_in(folder + "/" + name)) layout.splits[split_name(name)] = split;
  }
  for (const auto& [name, split] : layout.splits)
    if (std::find(layout.xml_folders.begin(), layout.xml_folders.end(), split.xml_folder) ==
        layout.xml_folders.end())
      layout.xml_folders.push_back(split.xml_folder);
  return layout;
}

}  // namespace fovea
