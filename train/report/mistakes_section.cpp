#include "train/report/mistakes_section.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "train/report/html.h"
#include "train/report/report_images.h"

namespace fovea {
namespace {

constexpr size_t max_columns = 25;  // of a table that is still readable
constexpr size_t max_confusions = 30;

std::string ap_text(double value) { return value < 0 ? "–" : fmt::format("{:.3f}", value); }

std::string size_cells(const std::array<int64_t, 3>& objects, const std::array<double, 3>& ap) {
  std::string html;
  for (size_t i = 0; i < 3; ++i)
    html += fmt::format("<td>{}</td><td class=\"value\">{}</td>", objects[i], ap_text(ap[i]));
  return html;
}

// Blue if it is right, red if not; the larger the share of the row, the stronger the colour.
std::string confusion_cell(const ConfusionMatrix& matrix, size_t row, size_t column) {
  const int64_t count = matrix.at(row, column), sum = matrix.row_sum(row);
  if (count == 0) return "<td>·</td>";
  const char* colour = row == column ? "37,99,201" : "214,51,51";
  return fmt::format("<td style=\"background:rgba({},{:.2f})\">{}</td>", colour,
                     0.08 + 0.52 * double(count) / double(sum), count);
}

std::string confusion_table(const ConfusionMatrix& matrix) {
  std::string html = "<table class=\"confusion\">\n<tr><th>truth \\ prediction</th>";
  for (const std::string& name : matrix.columns) html += "<th>" + escape_html(name) + "</th>";
  html += "<th>all</th></tr>\n";
  for (size_t row = 0; row < matrix.rows.size(); ++row) {
    html += "<tr><td class=\"class\">" + escape_html(matrix.rows[row]) + "</td>";
    for (size_t column = 0; column < matrix.columns.size(); ++column)
      html += confusion_cell(matrix, row, column);
    html += fmt::format("<td class=\"value\">{}</td></tr>\n", matrix.row_sum(row));
  }
  return html + "</table>";
}

std::string confusion_list(const ConfusionMatrix& matrix) {
  std::string html = "<table>\n<tr><th>truth</th><th>prediction</th><th>times</th><th>of</th></tr>\n";
  for (const Confusion& c : frequent_confusions(matrix, max_confusions))
    html +=
        fmt::format("<tr><td class=\"class\">{}</td><td>{}</td><td class=\"value\">{}</td><td>{}</td></tr>\n",
                    escape_html(matrix.rows[c.row]), escape_html(matrix.columns[c.column]), c.count,
                    matrix.row_sum(c.row));
  return html + "</table>";
}

}  // namespace

std::string sizes_table(const RunReport& report) {
  const CocoFigures& figures = report.figures;
  if (figures.classes.empty()) return "";
  std::array<int64_t, 3> objects{};
  for (const ClassFigures& c : figures.classes)
    for (size_t i = 0; i < 3; ++i) objects[i] += c.objects_by_size[i];
  std::string html = fmt::format(
      "<div class=\"card scroll\"><table class=\"sizes\">\n<tr><th>size</th><th>small</th><th>AP</th>"
      "<th>medium</th><th>AP</th><th>large</th><th>AP</th></tr>\n<tr><td class=\"class\">all "
      "classes</td>{}</tr>\n",
      size_cells(objects, {figures.ap_small, figures.ap_medium, figures.ap_large}));
  for (size_t i = 0; i < figures.classes.size(); ++i)
    html += fmt::format("<tr><td class=\"class\">{}</td>{}</tr>\n", escape_html(report.class_names[i]),
                        size_cells(figures.classes[i].objects_by_size, figures.classes[i].ap_by_size));
  return html + "</table></div>\n";
}

std::string confusion_card(const ConfusionMatrix& confusion) {
  if (confusion.counts.empty()) return "";
  const bool small = confusion.columns.size() <= max_columns;
  return fmt::format("<div class=\"card scroll\">{}</div>\n",
                     small ? confusion_table(confusion) : confusion_list(confusion));
}

std::string mistakes_section(const RunReport& report) {
  if (report.confusion.counts.empty() && report.worst.empty()) return "";
  std::string html = "<h2>Mistakes</h2>\n";
  if (!report.mistakes.empty()) html += "<p>" + escape_html(report.mistakes) + "</p>\n";
  html += confusion_card(report.confusion);
  if (report.worst.empty()) return html;
  html += "<h2>Worst images first</h2>\n<div class=\"row\">\n";
  for (const ReportImage& image : report.worst) html += image_figure(image);
  return html + "</div>\n";
}

}  // namespace fovea
