#include "train/data/box_check.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace fovea {
namespace {

// What the four numbers of a box may mean.
enum class Order { corner_and_size, centre_and_size, edges };

struct Reading {
  Order order;
  bool shares;     // of the image's width and height, not pixels
  bool exchanged;  // y before x
};

std::string describe(const Reading& r) {
  const auto text = [&](const char* straight, const char* exchanged) {
    return r.exchanged ? exchanged : straight;
  };
  std::string names;
  switch (r.order) {
    case Order::corner_and_size:
      names = text("left, top, width, height", "top, left, height, width");
      break;
    case Order::centre_and_size:
      names = text("centre x, centre y, width, height", "centre y, centre x, height, width");
      break;
    case Order::edges:
      names = text("xmin, ymin, xmax, ymax", "ymin, xmin, ymax, xmax");
      break;
  }
  return names + (r.shares ? " in shares of the image" : " in pixels");
}

// Whether the box, read this way, has an area and lies within its image up to rounding.
bool fits(const RawBox& box, const Reading& r) {
  std::array<double, 4> n = box.numbers;
  if (r.exchanged) n = {n[1], n[0], n[3], n[2]};
  if (r.shares) n = {n[0] * box.width, n[1] * box.height, n[2] * box.width, n[3] * box.height};
  if (r.order == Order::centre_and_size) n = {n[0] - n[2] / 2, n[1] - n[3] / 2, n[2], n[3]};
  if (r.order != Order::edges) n = {n[0], n[1], n[0] + n[2], n[1] + n[3]};
  constexpr double rounding = 1.5;
  return n[2] > n[0] && n[3] > n[1] && n[0] >= -rounding && n[1] >= -rounding &&
         n[2] <= box.width + rounding && n[3] <= box.height + rounding;
}

int64_t count_misfits(const std::vector<RawBox>& boxes, const Reading& reading) {
  return std::count_if(boxes.begin(), boxes.end(), [&](const RawBox& box) { return !fits(box, reading); });
}

// If all numbers are at most 1 they are shares, although they would also fit anywhere as pixels.
bool all_shares(const std::vector<RawBox>& boxes) {
  return std::all_of(boxes.begin(), boxes.end(), [](const RawBox& box) {
    return std::all_of(box.numbers.begin(), box.numbers.end(), [](double n) { return n >= 0 && n <= 1; });
  });
}

double iou(const Annotation& a, const Annotation& b) {
  const double width = std::min(a.x + a.width, b.x + b.width) - std::max(a.x, b.x);
  const double height = std::min(a.y + a.height, b.y + b.height) - std::max(a.y, b.y);
  if (width <= 0 || height <= 0) return 0;
  return width * height / (a.width * a.height + b.width * b.height - width * height);
}

std::string show(const Annotation& a, const std::vector<std::string>& class_names) {
  return fmt::format("{} {:g} {:g} {:g} {:g}", class_names[size_t(a.label)], a.x, a.y, a.width, a.height);
}

}  // namespace

std::vector<Problem> check_box_order(DatasetFormat format, const std::vector<RawBox>& boxes) {
  constexpr int64_t few = 10;
  constexpr double too_many = 0.03, hardly_any = 0.005;
  const Reading own = format == DatasetFormat::yolo  ? Reading{Order::centre_and_size, true, false}
                      : format == DatasetFormat::voc ? Reading{Order::edges, false, false}
                                                     : Reading{Order::corner_and_size, false, false};
  const double count = double(boxes.size());
  if (!own.shares && int64_t(boxes.size()) > few && all_shares(boxes))
    return {
        {ProblemKind::box_order,
         fmt::format(
             "all {} boxes have numbers from 0 to 1, where {} were expected: the numbers seem to be shares "
             "of the image's size, so that every box is smaller than a pixel",
             boxes.size(), describe(own))}};
  const int64_t misfits = count_misfits(boxes, own);
  if (misfits <= few || double(misfits) <= too_many * count) return {};
  for (const bool exchanged : {false, true})
    for (const bool shares : {own.shares, !own.shares})
      for (const Order order : {Order::edges, Order::corner_and_size, Order::centre_and_size}) {
        const Reading other{order, shares, exchanged};
        const int64_t left = count_misfits(boxes, other);
        if (double(left) > hardly_any * count || (!own.shares && shares)) continue;
        return {{ProblemKind::box_order,
                 fmt::format(
                     "{} of {} boxes reach outside their images or have no area, read as {}; read as {} it "
                     "would be {}: the numbers seem to be in that order",
                     misfits, boxes.size(), describe(own), describe(other), left)}};
      }
  return {};
}

std::vector<Problem> find_duplicate_boxes(const DetectionDataset& dataset) {
  constexpr double same = 0.9;
  std::vector<Problem> faults;
  for (const LabelledImage& image : dataset.images)
    for (size_t j = 0; j < image.annotations.size(); ++j)
      for (size_t i = 0; i < j; ++i) {
        const Annotation &a = image.annotations[i], &b = image.annotations[j];
        if (a.crowd || b.crowd || iou(a, b) < same) continue;
        faults.push_back(
            {ProblemKind::duplicate_box,
             fmt::format("{}: the boxes {} and {} (left, top, width, height) overlap with IoU {:.3f}",
                         image.file, show(a, dataset.class_names), show(b, dataset.class_names), iou(a, b))});
      }
  return faults;
}

std::vector<Problem> find_unlabelled(const std::vector<const LabelledImage*>& images,
                                     const std::vector<std::string>& class_names) {
  constexpr size_t fewest_images = 20;
  constexpr double nearly_all = 0.9, usual_many = 8, far_fewer = 0.4;
  std::vector<Problem> faults;
  if (images.size() < fewest_images) return faults;
  for (size_t label = 0; label < class_names.size(); ++label) {
    std::vector<int64_t> counts, present;
    for (const LabelledImage* image : images) {
      counts.push_back(std::count_if(image->annotations.begin(), image->annotations.end(),
                                     [&](const Annotation& a) { return size_t(a.label) == label; }));
      if (counts.back() > 0) present.push_back(counts.back());
    }
    const double share = double(present.size()) / double(images.size());
    if (present.empty() || share < nearly_all) continue;
    std::nth_element(present.begin(), present.begin() + long(present.size() / 2), present.end());
    const int64_t median = present[present.size() / 2];
    for (size_t i = 0; i < images.size(); ++i) {
      const bool none = counts[i] == 0 && !images[i]->annotations.empty();
      const bool few =
          counts[i] > 0 && double(median) >= usual_many && double(counts[i]) < far_fewer * double(median);
      if (none || few)
        faults.push_back({ProblemKind::unlabelled_class,
                          fmt::format("{}: {} {}, where {:.0f} % of the images have some, {} in the median",
                                      images[i]->file, none ? "no" : std::to_string(counts[i]),
                                      class_names[label], std::floor(100 * share), median)});
    }
  }
  return faults;
}

}  // namespace fovea
