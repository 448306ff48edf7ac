#include "train/report/run_report.h"

#include <catch2/catch.hpp>
#include <filesystem>

#include "core/error.h"
#include "core/file.h"
#include "tests/support/test_data.h"
#include "train/data/image/image_io.h"

using namespace fovea;
using Catch::Contains;

namespace {

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + part.size())) ++found;
  return found;
}

// The inverse of the page's own base64.
std::string from_base64(const std::string& text) {
  const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  uint32_t group = 0;
  int bits = 0;
  for (const char c : text) {
    if (c == '=') break;
    group = group << 6 | uint32_t(digits.find(c));
    if ((bits += 6) < 8) continue;
    bits -= 8;
    bytes += char(group >> bits & 0xFF);
  }
  return bytes;
}

std::vector<Image> images_in(const std::string& page) {
  std::vector<Image> images;
  const std::string start = "src=\"data:image/jpeg;base64,";
  for (size_t at = page.find(start); at != page.npos; at = page.find(start, at + 1)) {
    const size_t from = at + start.size();
    images.push_back(decode_image(from_base64(page.substr(from, page.find('"', from) - from)), "image"));
  }
  return images;
}

// Grey on the left, orange on the right.
Image two_halves(int width, int height) {
  Image image(width, height);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const std::array<uint8_t, 3> colour =
          x < width / 2 ? std::array<uint8_t, 3>{90, 90, 90} : std::array<uint8_t, 3>{240, 140, 20};
      std::copy(colour.begin(), colour.end(), image.at(x, y));
    }
  return image;
}

CocoFigures figures_of(size_t classes) {
  CocoFigures figures;
  figures.ap = 0.4934;
  figures.ap50 = 0.8612;
  figures.ar_large = 1;
  for (size_t i = 0; i < classes; ++i) {
    ClassFigures c;
    c.ap = 0.25, c.ap50 = 0.75, c.ap75 = 0.125, c.ar100 = 0.5, c.objects = 17;
    for (int recall = 0; recall <= 100; ++recall)
      c.precision50.push_back(recall <= 60 ? 1 - recall / 200.0 : 0);
    figures.classes.push_back(c);
  }
  return figures;
}

std::string written(const RunReport& report) {
  const TemporaryFolder folder;
  write_run_report(folder / "report.html", report);
  return read_file(folder / "report.html");
}

RunReport example() {
  RunReport report;
  report.title = "d-2 on <bccd>";
  report.summary = {{"AP50, \"ours\"", "0.86 & more"}, {"seed", "1"}};
  report.charts = {{"Loss", "minutes", "", {{"class<loss>", {0, 1}, {2, 1}}}},
                   {"Validation", "minutes", "", {{"AP", {0, 1}, {0, 0.5}}}}};
  report.class_names = {"RBC", "<script>alert(1)</script>"};
  report.figures = figures_of(2);
  report.figures.classes[0].ar100 = -1;
  report.images = {{"a<b>.jpg", two_halves(64, 48), two_halves(40, 30)}};
  return report;
}

}  // namespace

TEST_CASE("the report shows the summary, curves, figures and classes, and needs no other file") {
  const std::string page = written(example());
  CHECK_THAT(page,
             Contains("<title>d-2 on &lt;bccd&gt;</title>") && Contains("<h1>d-2 on &lt;bccd&gt;</h1>"));
  CHECK_THAT(page, Contains("<dt>AP50, &quot;ours&quot;</dt><dd>0.86 &amp; more</dd>"));
  CHECK(count(page, "<svg") == 3);  // two learning curves, one of precision and recall
  CHECK_THAT(page, Contains("class&lt;loss&gt;") && Contains(">RBC 0.750</text>"));
  CHECK_THAT(page, Contains("<td class=\"name\">AP</td><td>0.50:0.95</td><td>all</td><td>100</td><td "
                            "class=\"value\">0.493</td><td "
                            "class=\"bar\"><i style=\"width:49.3%\"></i></td>"));
  CHECK_THAT(
      page,
      Contains(
          "<td class=\"name\">AP50</td><td>0.50</td><td>all</td><td>100</td><td class=\"value\">0.861</td>"));
  CHECK_THAT(page, Contains("<td class=\"name\">AR1</td><td>0.50:0.95</td><td>all</td><td>1</td><td "
                            "class=\"value\">–</td><td class=\"bar\"></td>"));
  CHECK_THAT(page, Contains("<td class=\"name\">AR_large</td><td>0.50:0.95</td><td>large</td><td>100</td><td "
                            "class=\"value\">1.000</td>"));
  CHECK_THAT(page, Contains("<td class=\"class\">RBC</td><td>17</td><td "
                            "class=\"value\">0.250</td><td>0.750</td><td>0.125</td><td>–</td>"));
  CHECK(page.find("<script") == page.npos);
  CHECK(count(page, "http") ==
        count(page, "xmlns=\"http://www.w3.org/2000/svg\""));  // no address is ever fetched
  CHECK(count(page, "<link") + count(page, "@import") + count(page, "url(") == 0);
  for (const char* tag : {"div", "table", "tr", "td", "figure", "dl", "svg", "g", "main", "style", "html"})
    CHECK(count(page, fmt::format("<{}>", tag)) + count(page, fmt::format("<{} ", tag)) ==
          count(page, fmt::format("</{}>", tag)));
}

TEST_CASE("the images are inside the report, truth before detections") {
  const std::string page = written(example());
  CHECK_THAT(page, Contains("<figcaption>a&lt;b&gt;.jpg</figcaption>") &&
                       Contains("alt=\"a&lt;b&gt;.jpg: truth\" width=\"64\" height=\"48\""));
  const std::vector<Image> images = images_in(page);
  REQUIRE(images.size() == 2);
  CHECK(images[0].width == 64);
  CHECK(images[1].width == 40);
  CHECK(images[1].height == 30);
  CHECK(int(images[0].at(10, 20)[0]) == Approx(90).margin(6));
  CHECK(int(images[0].at(54, 20)[0]) == Approx(240).margin(6));
  CHECK(int(images[0].at(54, 20)[2]) == Approx(20).margin(12));
}

TEST_CASE("large images are made smaller for the page") {
  RunReport report;
  report.images = {{"wide", two_halves(1602, 9), two_halves(2, 1700)}};
  const std::vector<Image> images = images_in(written(report));
  REQUIRE(images.size() == 2);
  CHECK(images[0].width == 534);
  CHECK(images[0].height == 3);
  CHECK(int(images[0].at(20, 1)[0]) == Approx(90).margin(6));
  CHECK(int(images[0].at(500, 1)[0]) == Approx(240).margin(6));
  CHECK(images[1].width == 1);  // at least one pixel
  CHECK(images[1].height == 566);
}

TEST_CASE("precision falls to 0 once, at the first recall not reached") {
  RunReport report = example();
  report.charts.clear();
  std::string page = written(report);
  const std::string start = "<polyline points=\"";
  const size_t from = page.find(start) + start.size();
  const std::string points = page.substr(from, page.find('"', from) - from);
  CHECK(count(points, ",") == 62);  // recall 0, 0.01 ... 0.61 of 101
  CHECK_THAT(points, Catch::StartsWith("52.0,50.0 ") && Catch::EndsWith(" 281.4,270.0"));

  report.figures.classes[0].precision50.clear();  // no object of the class: no curve
  report.figures.classes[1].precision50.assign(101, 0);
  page = written(report);
  CHECK(count(page, "<polyline") == 0);
  CHECK(count(page, "<circle") == 1);
}

TEST_CASE("a report leaves out what it lacks") {
  RunReport report;
  report.title = "B0 on flowers";
  const std::string page = written(report);
  CHECK_THAT(page, Contains("<h1>B0 on flowers</h1>"));
  CHECK(count(page, "<h2>") + count(page, "<svg") + count(page, "<table") + count(page, "<img") +
            count(page, "<dl") ==
        0);

  report.figures = figures_of(20);  // eight curves per chart
  for (int i = 0; i < 20; ++i) report.class_names.push_back(fmt::format("class {}", i));
  CHECK(count(written(report), "<svg") == 3);
  report.class_names.pop_back();
  CHECK_THROWS_WITH(written(report), Contains("figures of 20 classes and 19 class names"));
  report.figures.classes.clear();  // a classifier: names without figures
  CHECK(count(written(report), "<table") == 0);
}

TEST_CASE("the report shows sizes, confusions, and the worst images in their order") {
  RunReport report = example();
  report.figures.ap_small = 0.25, report.figures.ap_medium = 0.5;
  report.figures.classes[0].objects_by_size = {3, 4, 0};
  report.figures.classes[0].ap_by_size = {0.125, 0.75, -1};
  report.figures.classes[1].objects_by_size = {1, 0, 0};
  report.confusion = ConfusionMatrix({"RBC", "<script>alert(1)</script>", "nothing there"},
                                     {"RBC", "<script>alert(1)</script>", "missed"});
  report.confusion.counts = {30, 5, 15, 0, 7, 0, 2, 0, 0};
  report.mistakes = "Detections from <0.4> on";
  report.worst = {{"bad.jpg", two_halves(60, 40), two_halves(60, 40), "2 missed (<i>)"},
                  {"better.jpg", two_halves(50, 40), {}, "1 false alarm"}};
  const std::string page = written(report);
  CHECK_THAT(page,
             Contains("<tr><td class=\"class\">all classes</td><td>4</td><td class=\"value\">0.250</td>"
                      "<td>4</td><td class=\"value\">0.500</td><td>0</td><td class=\"value\">–</td></tr>"));
  CHECK_THAT(page,
             Contains("<tr><td class=\"class\">RBC</td><td>3</td><td class=\"value\">0.125</td>"
                      "<td>4</td><td class=\"value\">0.750</td><td>0</td><td class=\"value\">–</td></tr>"));
  // Shaded by the share of the row: 30 of 50, 5 of 50, 15 of 50; correct ones in another colour.
  CHECK_THAT(
      page,
      Contains("<tr><td class=\"class\">RBC</td><td style=\"background:rgba(37,99,201,0.39)\">30</td>"
               "<td style=\"background:rgba(214,51,51,0.13)\">5</td>"
               "<td style=\"background:rgba(214,51,51,0.24)\">15</td><td class=\"value\">50</td></tr>"));
  CHECK_THAT(
      page,
      Contains("<td class=\"class\">nothing there</td><td style=\"background:rgba(214,51,51,0.60)\">2</td>"
               "<td>·</td><td>·</td><td class=\"value\">2</td></tr>"));
  CHECK(count(page, "<th>&lt;script&gt;alert(1)&lt;/script&gt;</th>") == 1);
  CHECK(page.find("<script") == page.npos);
  CHECK_THAT(page,
             Contains("<p>Detections from &lt;0.4&gt; on</p>") && Contains("<p>2 missed (&lt;i&gt;)</p>"));
  const size_t bad = page.find("<figcaption>bad.jpg"), better = page.find("<figcaption>better.jpg"),
               others = page.find("<figcaption>a&lt;b&gt;.jpg");
  CHECK(bad < better);
  CHECK(better < others);
  CHECK(others != page.npos);
  const std::vector<Image> images = images_in(page);
  REQUIRE(images.size() == 2 + 1 + 2);
  CHECK(images[2].width == 50);  // a single image
  CHECK(count(page, "class=\"single\"") == 1);
}

TEST_CASE("the confusions of many classes are a list") {
  std::vector<std::string> names;
  for (int i = 0; i < 26; ++i) names.push_back(fmt::format("class {}", i));
  RunReport report;
  report.confusion = ConfusionMatrix(names, names);
  report.confusion.at(3, 3) = 9;
  report.confusion.at(3, 4) = 1;
  report.confusion.at(7, 25) = 2;
  const std::string page = written(report);
  CHECK_THAT(
      page,
      Contains(
          "<tr><td class=\"class\">class 7</td><td>class 25</td><td class=\"value\">2</td><td>2</td></tr>\n"
          "<tr><td class=\"class\">class 3</td><td>class 4</td><td class=\"value\">1</td><td>10</td></tr>\n"
          "</table>"));
}

TEST_CASE("a report that cannot be written is an error and leaves nothing") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH(write_run_report(folder / "nowhere/report.html", RunReport{}),
                    Contains("nowhere/report.html cannot be written"));
  CHECK(std::filesystem::is_empty(folder.path()));
}
