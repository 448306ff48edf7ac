#include <algorithm>

#include "core/error.h"
#include "train/evaluation/coco_evaluation.h"

namespace fovea {
namespace {

std::string figure(double value) { return value < 0 ? "-" : fmt::format("{:.3f}", value); }

}  // namespace

std::array<double, 12> CocoFigures::values() const {
  return {ap, ap50, ap75, ap_small, ap_medium, ap_large, ar1, ar10, ar100, ar_small, ar_medium, ar_large};
}

const std::array<const char*, 12>& CocoFigures::names() {
  static const std::array<const char*, 12> names{"AP",  "AP50", "AP75",  "AP_small", "AP_medium", "AP_large",
                                                 "AR1", "AR10", "AR100", "AR_small", "AR_medium", "AR_large"};
  return names;
}

std::string coco_table(const CocoFigures& figures) {
  static constexpr std::array<const char*, 12> ious{"0.50:0.95", "0.50",      "0.75",      "0.50:0.95",
                                                    "0.50:0.95", "0.50:0.95", "0.50:0.95", "0.50:0.95",
                                                    "0.50:0.95", "0.50:0.95", "0.50:0.95", "0.50:0.95"};
  static constexpr std::array<const char*, 12> areas{"all", "all", "all", "small", "medium", "large",
                                                     "all", "all", "all", "small", "medium", "large"};
  const auto limit = [&](size_t i) { return i == 6 ? 1 : i == 7 ? 10 : figures.max_detections; };
  const auto values = figures.values();
  std::string table;
  for (size_t i = 0; i < values.size(); ++i)
    table += fmt::format(" {:<18} {} @[ IoU={:<9} | area={:>6} | maxDets={:>3} ] = {:.3f}\n",
                         i < 6 ? "Average Precision" : "Average Recall", i < 6 ? "(AP)" : "(AR)", ious[i],
                         areas[i], limit(i), values[i]);
  return table;
}

std::string class_table(const CocoFigures& figures, const std::vector<std::string>& class_names) {
  require(
      class_names.size() == figures.classes.size(),
      "[class_table] there are {} names for {} classes: give the names of the data set that was evaluated",
      class_names.size(), figures.classes.size());
  size_t width = 5;
  for (const std::string& name : class_names) width = std::max(width, name.size());
  std::string table = fmt::format("{:<{}} {:>8} {:>6} {:>6} {:>6} {:>6}\n", "class", width, "objects", "AP",
                                  "AP50", "AP75", "AR100");
  for (size_t c = 0; c < class_names.size(); ++c) {
    const ClassFigures& one = figures.classes[c];
    table += fmt::format("{:<{}} {:>8} {:>6} {:>6} {:>6} {:>6}\n", class_names[c], width, one.objects,
                         figure(one.ap), figure(one.ap50), figure(one.ap75), figure(one.ar100));
  }
  return table;
}

}  // namespace fovea
