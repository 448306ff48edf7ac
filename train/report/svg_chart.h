#pragma once
#include <optional>
#include <string>
#include <vector>

#include "train/report/run_report.h"

namespace fovea {

// The range of an axis.
struct AxisRange {
  double low = 0, high = 1;
};

// A chart as an <svg> element: axes with round ticks, the curves, and below them a legend that wraps. A value
// that is not finite is a gap; a point between gaps, or of a curve with no other, is a dot. A range that is
// not given follows from the points. Colours are CSS variables (--ink, --muted, --grid, --curve-0 to
// --curve-7) with defaults, so a page may darken the chart, and a file with only the chart still shows it.
// Throws Error if a curve does not have as many x as y.
std::string svg_chart(const Chart& chart, std::optional<AxisRange> x = {}, std::optional<AxisRange> y = {});

// Numbers 1, 2 or 5 times a power of ten apart, three to eight of them: those inside [low, high]. Requires
// low < high, both finite.
struct Ticks {
  std::vector<double> values;
  std::vector<std::string> labels;  // as many decimals as the step needs
};
Ticks round_ticks(double low, double high);

}  // namespace fovea
