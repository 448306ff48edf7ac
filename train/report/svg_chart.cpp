#include "train/report/svg_chart.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/error.h"
#include "train/report/html.h"

namespace fovea {
namespace {

// In the units of the viewBox; 440 wide, so that 13-unit letters stay legible on a phone.
constexpr double width = 440, min_left = 52, plot_right = 428, plot_top = 50, plot_bottom = 270,
                 legend_top = 332;
constexpr double legend_left = 6, legend_line = 20, letter_width = 7, digit_width = 8;

constexpr std::array<const char*, 8> colours = {"#2563c9", "#d9480f", "#2b8a3e", "#9c36b5",
                                                "#b8860b", "#0b8a94", "#c2255c", "#5f6b7a"};

std::string colour_of(size_t curve) {
  const size_t i = curve % colours.size();
  return fmt::format("var(--curve-{},{})", i, colours[i]);
}

// More curves than colours: the second round is dashed, the third dotted.
const char* dashes_of(size_t curve) {
  constexpr std::array<const char*, 3> dashes = {"", " stroke-dasharray=\"7 4\"",
                                                 " stroke-dasharray=\"2 4\""};
  return dashes[curve / colours.size() % dashes.size()];
}

// Beyond 1e300 differences could overflow; no axis could show both that and anything else.
bool drawable(double value) { return std::isfinite(value) && std::fabs(value) < 1e300; }

struct Point {
  double x, y;
};

std::optional<AxisRange> range_of(const Chart& chart, const std::vector<double> Curve::*axis) {
  std::optional<AxisRange> range;
  for (const Curve& curve : chart.curves)
    for (size_t i = 0; i < curve.x.size(); ++i) {
      if (!drawable(curve.x[i]) || !drawable(curve.y[i])) continue;
      const double value = (curve.*axis)[i];
      if (!range) range = {value, value};
      range->low = std::min(range->low, value);
      range->high = std::max(range->high, value);
    }
  return range;
}

// An axis needs some length, even if there is no point, one point or a curve that is flat except for
// rounding.
AxisRange widened(std::optional<AxisRange> range) {
  if (!range) return {0, 1};
  if (range->low > 0 && range->low < 0.1 * range->high) range->low = 0;  // begins near 0: show the 0
  const double size = std::max(std::fabs(range->low), std::fabs(range->high));
  if (range->high - range->low > 1e-9 * size) return *range;
  const double margin = size > 0 ? size / 2 : 1;
  return {range->low - margin, range->high + margin};
}

double round_step(double low, double high) {
  const double rough = (high - low) / 7.5, power = std::pow(10, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * power >= rough * 0.999) return factor * power;
  return 10 * power;
}

// The range with its ends on ticks. Done twice, since the longer range may have longer steps.
AxisRange to_ticks(AxisRange range) {
  for (int i = 0; i < 2; ++i) {
    const double step = round_step(range.low, range.high);
    range = {std::floor(range.low / step + 1e-6) * step, std::ceil(range.high / step - 1e-6) * step};
  }
  return range;
}

class Plot {
 public:
  Plot(AxisRange x, AxisRange y)
      : x_(x),
        y_(y),
        x_ticks_(round_ticks(x.low, x.high)),
        y_ticks_(round_ticks(y.low, y.high)),
        left_(min_left) {
    for (const std::string& label : y_ticks_.labels)
      left_ = std::max(left_, digit_width * double(label.size()) + 14);
  }
  double left() const { return left_; }
  double across(double x) const { return left_ + (x - x_.low) / (x_.high - x_.low) * (plot_right - left_); }
  double down(double y) const {
    return plot_bottom - (y - y_.low) / (y_.high - y_.low) * (plot_bottom - plot_top);
  }

  std::string axes() const {
    std::string svg = "<g style=\"stroke:var(--grid,#d8dce2)\">";
    for (const double value : y_ticks_.values)
      svg += fmt::format("<path d=\"M{} {:.1f}H{}\"/>", left_, down(value), plot_right);
    for (const double value : x_ticks_.values)
      svg += fmt::format("<path d=\"M{:.1f} {}v5\"/>", across(value), plot_bottom);
    svg += fmt::format("<path d=\"M{} {}H{}\" style=\"stroke:var(--muted,#68707c)\"/></g>", left_,
                       plot_bottom, plot_right);
    svg += "<g style=\"fill:var(--muted,#68707c)\" text-anchor=\"end\">";
    for (size_t i = 0; i < y_ticks_.values.size(); ++i)
      svg += fmt::format("<text x=\"{}\" y=\"{:.1f}\">{}</text>", left_ - 7, down(y_ticks_.values[i]) + 4.5,
                         y_ticks_.labels[i]);
    svg += "</g><g style=\"fill:var(--muted,#68707c)\" text-anchor=\"middle\">";
    for (size_t i = 0; i < x_ticks_.values.size(); ++i)
      svg += fmt::format("<text x=\"{:.1f}\" y=\"{}\">{}</text>", across(x_ticks_.values[i]),
                         plot_bottom + 19, x_ticks_.labels[i]);
    return svg + "</g>";
  }

  std::string curve(const Curve& curve, size_t index) const {
    std::string svg;
    std::vector<Point> run;  // points without a gap between them
    for (size_t i = 0; i <= curve.x.size(); ++i) {
      if (i < curve.x.size() && drawable(curve.x[i]) && drawable(curve.y[i])) {
        run.push_back({across(curve.x[i]), down(curve.y[i])});
        continue;
      }
      svg += line(thinned(run), index);
      run.clear();
    }
    return svg;
  }

 private:
  // Among the points that fall on one column of pixels only the first, lowest, highest and last can be told
  // apart: a training of a million steps must not make a page of a million points.
  static std::vector<Point> thinned(const std::vector<Point>& points) {
    std::vector<Point> kept;
    const auto by_y = [](const Point& a, const Point& b) { return a.y < b.y; };
    for (auto first = points.begin(); first != points.end();) {
      const double column =
          std::floor(2 * first->x);  // half a unit of the viewBox: a pixel of a sharp screen
      const auto end =
          std::find_if(first, points.end(), [&](const Point& p) { return std::floor(2 * p.x) != column; });
      const auto [low, high] = std::minmax_element(first, end, by_y);
      auto last = points.end();
      for (const auto p : {first, std::min(low, high), std::max(low, high), end - 1})
        if (p != last) kept.push_back(*(last = p));
      first = end;
    }
    return kept;
  }

  static std::string line(const std::vector<Point>& points, size_t index) {
    if (points.empty()) return "";
    if (points.size() == 1)
      return fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" style=\"fill:{}\"/>", points[0].x,
                         points[0].y, colour_of(index));
    std::string svg = "<polyline points=\"";
    for (const Point& p : points) svg += fmt::format("{:.1f},{:.1f} ", p.x, p.y);
    svg.back() = '"';
    return svg + fmt::format(" style=\"stroke:{}\"{}/>", colour_of(index), dashes_of(index));
  }

  AxisRange x_, y_;
  Ticks x_ticks_, y_ticks_;
  double left_;  // of the plot, where the longest label of the y axis ends
};

// The first letters of a name too long for a line of the legend. UTF-8 is cut between characters.
std::string shortened(const std::string& name, size_t most) {
  std::string result;
  size_t letters = 0;
  for (const char byte : name) {
    if ((uint8_t(byte) & 0xC0) != 0x80 && ++letters > most) return result + "…";
    result += byte;
  }
  return result;
}

size_t letters_in(const std::string& text) {
  return size_t(
      std::count_if(text.begin(), text.end(), [](char byte) { return (uint8_t(byte) & 0xC0) != 0x80; }));
}

// The entries one after another, wrapped; returns the position of the last line.
double append_legend(std::string& svg, const std::vector<Curve>& curves) {
  double x = legend_left, y = legend_top;
  for (size_t i = 0; i < curves.size(); ++i) {
    const std::string name = shortened(curves[i].name, 48);
    const double entry = 24 + letter_width * double(letters_in(name)) + 14;
    if (x > legend_left && x + entry > width) x = legend_left, y += legend_line;
    svg += fmt::format(
        "<path d=\"M{0:.0f} {1:.0f}h18\" style=\"stroke:{2};stroke-width:3\"{3}/><text x=\"{4:.0f}\" "
        "y=\"{5:.0f}\">{6}</text>",
        x, y - 4.5, colour_of(i), dashes_of(i), x + 24, y, escape_html(name));
    x += entry;
  }
  return y;
}

}  // namespace

Ticks round_ticks(double low, double high) {
  Ticks ticks;
  const double step = round_step(low, high);
  const int decimals = std::max(0, -int(std::floor(std::log10(step) + 1e-9)));
  const double largest = std::max(std::fabs(low), std::fabs(high));
  for (double k = std::ceil(low / step - 1e-6); k * step <= high + 1e-6 * step; ++k) {
    const double value = k == 0 ? 0 : k * step;  // no -0
    ticks.values.push_back(value);
    ticks.labels.push_back(decimals > 5 || largest >= 1e6 ? fmt::format("{:.6g}", value)
                                                          : fmt::format("{:.{}f}", value, decimals));
  }
  return ticks;
}

std::string svg_chart(const Chart& chart, std::optional<AxisRange> x, std::optional<AxisRange> y) {
  for (const Curve& curve : chart.curves)
    require(curve.x.size() == curve.y.size(),
            "[svg_chart] curve '{}' of chart '{}' has {} x and {} y: give one y for each x", curve.name,
            chart.title, curve.x.size(), curve.y.size());
  const Plot plot(x ? *x : widened(range_of(chart, &Curve::x)),
                  y ? *y : to_ticks(widened(range_of(chart, &Curve::y))));

  std::string body = fmt::format("<text x=\"{}\" y=\"16\" style=\"font-weight:600;font-size:15px\">{}</text>",
                                 6, escape_html(chart.title));
  body += fmt::format(
      "<g style=\"fill:var(--muted,#68707c)\"><text x=\"6\" y=\"37\">{}</text><text x=\"{}\" y=\"{}\" "
      "text-anchor=\"middle\">{}</text></g>",
      escape_html(chart.y_label), (plot.left() + plot_right) / 2, plot_bottom + 38,
      escape_html(chart.x_label));
  body += plot.axes();
  body += "<g style=\"fill:none;stroke-width:1.8;stroke-linejoin:round\">";
  for (size_t i = 0; i < chart.curves.size(); ++i) body += plot.curve(chart.curves[i], i);
  body += "</g>";
  const double height = append_legend(body, chart.curves) + 10;
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\" "
      "aria-label=\"{}\" "
      "style=\"fill:var(--ink,#1b1f24);font:13px system-ui,sans-serif\">{}</svg>\n",
      width, height, escape_html(chart.title), body);
}

}  // namespace fovea
