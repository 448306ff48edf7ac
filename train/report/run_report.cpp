#include "train/report/run_report.h"

#include <algorithm>
#include <array>

#include "core/error.h"
#include "core/file.h"
#include "train/report/html.h"
#include "train/report/mistakes_section.h"
#include "train/report/report_images.h"
#include "train/report/report_style.h"
#include "train/report/svg_chart.h"

namespace fovea {
namespace {

constexpr size_t curves_in_chart = 8;  // as many as there are colours
constexpr const char* none = "–";      // for -1: there is no object to find

std::string figure_text(double value) { return value < 0 ? none : fmt::format("{:.3f}", value); }

std::string bar(double value) {
  return value < 0 ? "" : fmt::format("<i style=\"width:{:.1f}%\"></i>", 100 * std::min(value, 1.0));
}

std::string summary_section(const RunReport& report) {
  if (report.summary.empty()) return "";
  std::string html = "<dl class=\"card\">\n";
  for (const auto& [name, value] : report.summary)
    html += fmt::format("<div><dt>{}</dt><dd>{}</dd></div>\n", escape_html(name), escape_html(value));
  return html + "</dl>\n";
}

std::string charts_section(const std::vector<Chart>& charts) {
  if (charts.empty()) return "";
  std::string html = "<h2>Learning curves</h2>\n<div class=\"row\">\n";
  for (const Chart& chart : charts) html += "<div class=\"card\">" + svg_chart(chart) + "</div>\n";
  return html + "</div>\n";
}

std::string figures_table(const CocoFigures& figures) {
  struct Setting {
    const char *iou, *area;
    int detections;
  };
  constexpr std::array<Setting, 12> settings = {{{"0.50:0.95", "all", 100},
                                                 {"0.50", "all", 100},
                                                 {"0.75", "all", 100},
                                                 {"0.50:0.95", "small", 100},
                                                 {"0.50:0.95", "medium", 100},
                                                 {"0.50:0.95", "large", 100},
                                                 {"0.50:0.95", "all", 1},
                                                 {"0.50:0.95", "all", 10},
                                                 {"0.50:0.95", "all", 100},
                                                 {"0.50:0.95", "small", 100},
                                                 {"0.50:0.95", "medium", 100},
                                                 {"0.50:0.95", "large", 100}}};
  std::string html =
      "<div class=\"card scroll\"><table>\n<tr><th>figure</th><th>IoU</th><th>area</th><th>at "
      "most</th><th>value</th><th class=\"bar\"></th></tr>\n";
  const auto values = figures.values();
  for (size_t i = 0; i < values.size(); ++i)
    html += fmt::format(
        "<tr><td class=\"name\">{}</td><td>{}</td><td>{}</td><td>{}</td><td class=\"value\">{}</td><td "
        "class=\"bar\">{}</td></tr>\n",
        CocoFigures::names()[i], settings[i].iou, settings[i].area, settings[i].detections,
        figure_text(values[i]), bar(values[i]));
  return html + "</table></div>\n";
}

std::string classes_table(const RunReport& report) {
  std::string html =
      "<div class=\"card "
      "scroll\"><table>\n<tr><th>class</th><th>objects</th><th>AP</th><th>AP50</th><th>AP75</th><th>AR100</"
      "th></tr>\n";
  for (size_t i = 0; i < report.figures.classes.size(); ++i) {
    const ClassFigures& c = report.figures.classes[i];
    html += fmt::format(
        "<tr><td class=\"class\">{}</td><td>{}</td><td "
        "class=\"value\">{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
        escape_html(report.class_names[i]), c.objects, figure_text(c.ap), figure_text(c.ap50),
        figure_text(c.ap75), figure_text(c.ar100));
  }
  return html + "</table></div>\n";
}

// Precision is 0 from the first recall that no score reaches: the curve falls there once and ends.
Curve precision_recall(const std::string& name, const ClassFigures& figures) {
  const std::vector<double>& precision = figures.precision50;
  const auto last = std::find_if(precision.rbegin(), precision.rend(), [](double p) { return p > 0; }).base();
  const size_t count = std::min(size_t(last - precision.begin()) + 1, precision.size());
  Curve curve{fmt::format("{} {}", name, figure_text(figures.ap50)),
              {},
              {precision.begin(), precision.begin() + long(count)}};
  for (size_t i = 0; i < count; ++i)
    curve.x.push_back(double(i) / std::max(1.0, double(precision.size() - 1)));
  return curve;
}

std::string precision_recall_charts(const RunReport& report) {
  std::vector<Chart> charts;
  for (size_t i = 0; i < report.figures.classes.size(); ++i) {
    if (report.figures.classes[i].precision50.empty()) continue;
    if (charts.empty() || charts.back().curves.size() == curves_in_chart)
      charts.push_back({"Precision and recall at IoU 0.5", "recall", "precision", {}});
    charts.back().curves.push_back(precision_recall(report.class_names[i], report.figures.classes[i]));
  }
  std::string html;
  for (const Chart& chart : charts)
    html += "<div class=\"card\">" + svg_chart(chart, AxisRange{0, 1}, AxisRange{0, 1}) + "</div>\n";
  return html;
}

std::string figures_section(const RunReport& report) {
  if (report.figures.classes.empty()) return "";
  return "<h2>Detection figures</h2>\n<p>COCO&#39;s average precision (AP) and average recall (AR), from 0 "
         "to 1: at these overlaps "
         "(IoU), for objects of this area, with at most this many detections per image. Small is below 32² "
         "pixels, large above 96²; "
         "– means that there is no such object. The number after a class is its AP50, the area under its "
         "curve.</p>\n"
         "<div class=\"columns\">\n" +
         figures_table(report.figures) + classes_table(report) + sizes_table(report) +
         precision_recall_charts(report) + "</div>\n";
}

std::string images_section(const std::vector<ReportImage>& images) {
  if (images.empty()) return "";
  std::string html = "<h2>Images</h2>\n<div class=\"row\">\n";
  for (const ReportImage& image : images) html += image_figure(image);
  return html + "</div>\n";
}

}  // namespace

void write_run_report(const std::string& path, const RunReport& report) {
  require(report.figures.classes.empty() || report.figures.classes.size() == report.class_names.size(),
          "[write_run_report] there are figures for {} classes and {} class names: give one name for each",
          report.figures.classes.size(), report.class_names.size());
  const std::string title = escape_html(report.title);
  const std::string head = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
      "content=\"width=device-width,initial-scale=1\">\n<title>{}</title>\n<style>{}</style>\n</"
      "head>\n<body><main>\n<h1>{}</h1>\n",
      title, report_style, title);
  const std::string body = summary_section(report) + charts_section(report.charts) + figures_section(report) +
                           mistakes_section(report) + images_section(report.images);
  write_file_atomically(path, head + body + "<footer>Written by Fovea.</footer>\n</main></body>\n</html>\n");
}

}  // namespace fovea
