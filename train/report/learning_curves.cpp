#include "train/report/learning_curves.h"

#include <algorithm>
#include <array>

#include "train/report/metrics.h"

namespace fovea {
namespace {

enum { loss_chart, figure_chart, rate_chart, no_chart };

int chart_of(const std::string& name) {
  constexpr std::array<const char*, 5> figures = {"validation/AP", "validation/AP50", "validation/AP75",
                                                  "validation/top1", "validation/top5"};
  if (name == "train/learning_rate") return rate_chart;
  if (name.ends_with("loss")) return loss_chart;
  return std::find(figures.begin(), figures.end(), name) != figures.end() ? figure_chart : no_chart;
}

}  // namespace

std::vector<Chart> learning_curves(const std::string& metrics_file) {
  std::vector<Chart> charts{
      {"Loss", "minutes", "", {}}, {"Validation", "minutes", "", {}}, {"Learning rate", "minutes", "", {}}};
  for (const MetricsRow& row : read_metrics(metrics_file)) {
    const int chart = chart_of(row.name);
    if (chart == no_chart) continue;
    auto& curves = charts[size_t(chart)].curves;
    const std::string name = row.name.starts_with("validation/") && chart == loss_chart
                                 ? row.name
                                 : row.name.substr(row.name.find('/') + 1);
    auto curve = std::find_if(curves.begin(), curves.end(), [&](const Curve& c) { return c.name == name; });
    if (curve == curves.end()) curve = curves.insert(curve, Curve{name, {}, {}});
    curve->x.push_back(row.seconds / 60);
    curve->y.push_back(row.value);
  }
  std::erase_if(charts, [](const Chart& chart) { return chart.curves.empty(); });
  return charts;
}

}  // namespace fovea
