#include "train/data/check.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "train/data/box_check.h"
#include "train/data/held_out.h"
#include "train/data/layout/split_name.h"

namespace fovea {
namespace {

// The splits that do not join others.
std::vector<const DatasetSplit*> single_splits(const DatasetCheck& check) {
  std::vector<const DatasetSplit*> splits;
  for (const DatasetSplit& split : check.data.splits)
    if (!check.is_joined(split.name)) splits.push_back(&split);
  return splits;
}

std::vector<const LabelledImage*> images_of(const DatasetCheck& check) {
  std::vector<const LabelledImage*> images;
  for (const DatasetSplit* split : single_splits(check))
    for (const LabelledImage& image : split->dataset.images) images.push_back(&image);
  return images;
}

std::vector<int64_t> boxes_per_class(const DatasetSplit& split) {
  std::vector<int64_t> counts(split.dataset.class_names.size());
  for (const LabelledImage& image : split.dataset.images)
    for (const Annotation& a : image.annotations) counts[size_t(a.label)] += a.has_area();
  return counts;
}

void append(std::vector<Problem>& faults, std::vector<Problem> more) {
  std::move(more.begin(), more.end(), std::back_inserter(faults));
}

void check_splits(DatasetCheck& check, const std::string& folder, bool all) {
  const auto has = [&](const char* name) {
    return std::any_of(check.data.splits.begin(), check.data.splits.end(),
                       [&](const DatasetSplit& split) { return split.name == name; });
  };
  if (all && is_drawn(folder, "train")) {
    check.faults.push_back(
        {ProblemKind::drawn_split,
         fmt::format("{} has only the split \"{}\": training holds out every fifth image for validation, "
                     "drawn by `seed`",
                     folder, check.data.splits.empty() ? only_split : check.data.splits[0].name)});
    return;
  }
  for (const char* name : {"train", "val"})
    if (all && !has(name))
      check.faults.push_back(
          {ProblemKind::missing_split,
           fmt::format("{} has no split \"{}\": choose one for `fovea train` with `{}_split`", folder, name,
                       name)});
}

void check_classes(DatasetCheck& check) {
  const std::vector<const DatasetSplit*> splits = single_splits(check);
  const std::vector<std::string>& names = check.data.class_names;
  std::vector<std::vector<int64_t>> counts;
  for (const DatasetSplit* split : splits) counts.push_back(boxes_per_class(*split));
  const auto total = [](const std::vector<int64_t>& c) {
    return std::accumulate(c.begin(), c.end(), int64_t(0));
  };
  if (total(counts.front()) == 0)
    check.faults.push_back(
        {ProblemKind::no_object, fmt::format("{}: none of the {} images has a box", splits[0]->dataset.name,
                                             splits[0]->dataset.images.size())});
  for (size_t label = 0; label < names.size(); ++label) {
    size_t most = 0;
    for (size_t s = 1; s < splits.size(); ++s)
      if (counts[s][label] > counts[most][label]) most = s;
    if (counts[most][label] == 0)
      check.faults.push_back(
          {ProblemKind::absent_class,
           fmt::format("no split has a box of class {} (\"{}\"): it is never learned", label, names[label])});
    for (size_t s = 0; s < splits.size() && counts[most][label] > 0; ++s)
      if (counts[s][label] == 0)
        check.faults.push_back({ProblemKind::absent_class,
                                fmt::format("{} has no box of class {} (\"{}\"), {} has {}", splits[s]->name,
                                            label, names[label], splits[most]->name, counts[most][label])});
    const auto& learned = splits[0]->own_classes;
    for (size_t s = 1; s < splits.size(); ++s)
      if (counts[s][label] > 0 && std::find(learned.begin(), learned.end(), names[label]) == learned.end())
        check.faults.push_back(
            {ProblemKind::unknown_class,
             fmt::format("{} has {} boxes of \"{}\", which is not among the classes of {}: {}",
                         splits[s]->dataset.name, counts[s][label], names[label], splits[0]->name,
                         some_of(learned))});
  }
}

void check_class_names(DatasetCheck& check) {
  std::map<std::string, std::string> seen;
  for (const std::string& name : check.data.class_names) {
    std::string plain;
    for (const char c : name)
      if (c != ' ' && c != '_' && c != '-') plain += c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c;
    const auto [other, is_new] = seen.emplace(plain, name);
    if (!is_new)
      check.faults.push_back(
          {ProblemKind::similar_class, fmt::format("\"{}\" and \"{}\"", other->second, name)});
  }
}

void check_images(DatasetCheck& check, const OnScanned& on_scanned) {
  std::vector<std::string> files;
  std::map<std::string, size_t> positions;
  const std::vector<const LabelledImage*> images = images_of(check);
  for (const LabelledImage* image : images)
    if (positions.emplace(image->file, files.size()).second) files.push_back(image->file);
  const std::vector<ScannedImage> scans = scan_images(files, on_scanned);
  std::vector<PlacedImage> placed;
  for (const DatasetSplit* split : single_splits(check))
    for (const LabelledImage& image : split->dataset.images) {
      placed.push_back({split->name, &image, &scans[positions[image.file]]});
      append(check.faults, image_faults(image, *placed.back().scan));
      if (image.annotations.empty()) check.faults.push_back({ProblemKind::empty_image, image.file});
    }
  append(check.faults, find_copies(placed));
}

void check_anchors(DatasetCheck& check, const DatasetCheckOptions& options) {
  constexpr double half = 0.5, third = 0.3;
  const std::vector<const LabelledImage*> images = images_of(check);
  BoxFit& fit = check.fit;
  const auto size =
      options.image_size[0] > 0 ? options.image_size : suited_image_size(images, options.longer_side);
  fit.height = size[0], fit.width = size[1];
  fit.anchor_scale =
      options.anchor_scale > 0 ? options.anchor_scale : default_anchor_scale(std::max(fit.height, fit.width));
  AnchorOptions anchors = options.anchors;
  anchors.anchor_scale = fit.anchor_scale;
  const AnchorCover cover(fit.height, fit.width, anchors);
  fit.smallest_anchor = cover.smallest_side(), fit.largest_anchor = cover.largest_side();
  for (const LabelledImage* image : images)
    for (const Annotation& a : image->annotations) {
      if (a.crowd || !a.has_area()) continue;
      const InputBox box = to_input(a, *image, fit.height, fit.width);
      const double iou = cover.best_iou(box);
      ++fit.boxes;
      fit.below_half += iou < half;
      fit.below_third += iou < third;
      fit.sides.push_back(box.side());
      if (iou < third)
        check.faults.push_back(
            {ProblemKind::small_box,
             fmt::format(
                 "{}: {} {:g} {:g} {:g} {:g} (left, top, width, height) is {:.1f} x {:.1f} pixels of a {}x{} "
                 "input, the best anchor's IoU {:.2f}",
                 image->file, check.data.class_names[size_t(a.label)], a.x, a.y, a.width, a.height, box.width,
                 box.height, fit.height, fit.width, iou)});
    }
  std::sort(fit.sides.begin(), fit.sides.end());
  check.suggestion = suggest_input(images, options.anchors);
}

// A fault that several splits share was found in each of them.
void sort_and_unite(std::vector<Problem>& faults) {
  std::set<std::string> seen;
  std::erase_if(faults, [&](const Problem& fault) {
    return !seen.insert(fmt::format("{} {}", int(fault.kind), fault.text)).second;
  });
  std::stable_sort(faults.begin(), faults.end(),
                   [](const Problem& a, const Problem& b) { return a.kind < b.kind; });
}

}  // namespace

bool DatasetCheck::is_joined(const std::string& split) const {
  return std::find(joined.begin(), joined.end(), split) != joined.end();
}

int64_t DatasetCheck::count(ProblemKind kind) const {
  return std::count_if(faults.begin(), faults.end(),
                       [&](const Problem& fault) { return fault.kind == kind; });
}

bool DatasetCheck::can_be_trained() const {
  return std::none_of(faults.begin(), faults.end(),
                      [](const Problem& fault) { return text_of(fault.kind).severity == Severity::error; });
}

DatasetCheck check_dataset(const std::string& folder, const DatasetCheckOptions& options) {
  DatasetCheck check;
  ReadLog log;
  check.data = open_splits(folder, options.splits, &log);
  check.faults = std::move(log.faults);
  for (const std::string& text : check.data.unlisted)
    check.faults.push_back({ProblemKind::unlisted_image, text});
  check.joined = joined_splits(check.data);
  check_splits(check, folder, options.splits.empty());
  std::vector<RawBox> boxes;
  for (const DatasetSplit* split : single_splits(check))
    boxes.insert(boxes.end(), split->raw_boxes.begin(), split->raw_boxes.end());
  append(check.faults, check_box_order(check.data.format, boxes));
  if (!check.data.splits.empty()) {
    check_classes(check);
    check_class_names(check);
    check_images(check, options.on_scanned);
    for (const DatasetSplit* split : single_splits(check))
      append(check.faults, find_duplicate_boxes(split->dataset));
    append(check.faults, find_unlabelled(images_of(check), check.data.class_names));
    check_anchors(check, options);
  }
  sort_and_unite(check.faults);
  return check;
}

}  // namespace fovea
