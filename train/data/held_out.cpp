#include "train/data/held_out.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "core/error.h"
#include "core/file.h"
#include "core/random.h"
#include "train/data/image_scan.h"
#include "train/data/layout/split_name.h"

namespace fovea {
namespace {

constexpr int64_t every = 5;

// For each image, the position of the first image of its group.
std::vector<size_t> look_alikes(const DetectionDataset& dataset) {
  std::vector<std::string> files;
  for (const LabelledImage& image : dataset.images) files.push_back(image.file);
  const std::vector<ScannedImage> scans = scan_images(files);
  std::vector<const ScannedImage*> pointers;
  for (const ScannedImage& scan : scans) pointers.push_back(&scan);
  std::vector<size_t> groups(files.size());
  std::iota(groups.begin(), groups.end(), size_t(0));
  const auto first_of = [&](size_t i) {
    while (groups[i] != i) i = groups[i] = groups[groups[i]];
    return i;
  };
  for (const auto& [a, b] : alike_pairs(pointers)) {
    const size_t one = first_of(a), other = first_of(b);
    groups[std::max(one, other)] = std::min(one, other);
  }
  for (size_t i = 0; i < groups.size(); ++i) groups[i] = first_of(i);
  return groups;
}

// The classes in an image; an extra class stands for images without an object.
std::set<size_t> classes_of(const LabelledImage& image, size_t classes) {
  std::set<size_t> found;
  for (const Annotation& a : image.annotations) found.insert(size_t(a.label));
  if (found.empty()) found.insert(classes);
  return found;
}

}  // namespace

bool is_drawn(const std::string& folder, const std::string& split) {
  const std::vector<std::string> splits = dataset_splits(folder);
  const bool wanted = split_name(split) == "train" || split_name(split) == "val";
  return wanted && splits.size() == 1 && (splits[0] == only_split || splits[0] == "default");
}

std::vector<bool> held_out_images(const DetectionDataset& dataset, const std::vector<size_t>& groups,
                                  uint64_t seed) {
  const size_t classes = dataset.class_names.size();
  std::map<size_t, std::vector<size_t>> members;
  for (size_t i = 0; i < groups.size(); ++i) members[groups[i]].push_back(i);
  require(members.size() >= 2,
          "{} has {} images that do not look alike: at least two are needed, one of which is held out for "
          "validation",
          dataset.name, members.size());
  std::vector<std::vector<size_t>> in_order, shuffled;
  for (const auto& [first, group] : members) in_order.push_back(group);
  for (const int64_t k : Random(seed).permutation(int64_t(in_order.size())))
    shuffled.push_back(in_order[size_t(k)]);

  std::vector<int64_t> count(classes + 1), held(classes + 1);
  for (const LabelledImage& image : dataset.images)
    for (const size_t c : classes_of(image, classes)) ++count[c];
  std::vector<size_t> rarest(classes + 1);
  std::iota(rarest.begin(), rarest.end(), size_t(0));
  std::stable_sort(rarest.begin(), rarest.end(), [&](size_t a, size_t b) { return count[a] < count[b]; });

  std::vector<bool> chosen(groups.size()), decided(groups.size());
  const auto decide = [&](const std::vector<size_t>& group, bool hold) {
    for (const size_t i : group) {
      decided[i] = true, chosen[i] = hold;
      for (const size_t c : classes_of(dataset.images[i], classes)) held[c] += hold;
    }
  };
  for (const size_t c : rarest)
    for (const std::vector<size_t>& group : shuffled) {
      const int64_t holds = std::count_if(group.begin(), group.end(), [&](size_t i) {
        return classes_of(dataset.images[i], classes).contains(c);
      });
      if (holds > 0 && !decided[group.front()])
        decide(group, held[c] + holds <= std::lround(double(count[c]) / every));
    }
  if (std::find(chosen.begin(), chosen.end(), true) == chosen.end())
    decide(*std::min_element(shuffled.begin(), shuffled.end(),
                             [](const auto& a, const auto& b) { return a.size() < b.size(); }),
           true);
  return chosen;
}

std::pair<DetectionDataset, DetectionDataset> draw_splits(const std::string& folder, uint64_t seed,
                                                          const std::vector<std::string>& class_names) {
  const std::string only = dataset_splits(folder).front();
  DetectionDataset train = open_dataset(folder, only, class_names);
  const std::vector<bool> held = held_out_images(train, look_alikes(train), seed);
  DetectionDataset validation = train;
  validation.warnings.clear();
  size_t i = 0, j = 0;
  std::erase_if(train.images, [&](const LabelledImage&) { return bool(held[i++]); });
  std::erase_if(validation.images, [&](const LabelledImage&) { return !held[j++]; });
  train.warnings.insert(
      train.warnings.begin(),
      fmt::format("{} has only the split \"{}\": {} of its {} images are held out for validation, drawn by "
                  "`seed` {}",
                  folder, only, validation.images.size(), held.size(), seed));
  return {std::move(train), std::move(validation)};
}

DetectionDataset open_or_draw(const std::string& folder, const std::string& split, uint64_t seed,
                              const std::vector<std::string>& class_names) {
  if (!is_folder(folder) || !is_drawn(folder, split)) return open_dataset(folder, split, class_names);
  auto [train, validation] = draw_splits(folder, seed, class_names);
  if (split_name(split) == "train") return std::move(train);
  validation.warnings = std::move(train.warnings);
  return std::move(validation);
}

}  // namespace fovea
