#include "train/report/svg_chart.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <sstream>

#include "core/error.h"
#include "train/report/html.h"

using namespace fovea;
using Catch::Contains;

namespace {

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + part.size())) ++found;
  return found;
}

// The "x,y" pairs of each polyline.
std::vector<std::vector<std::pair<double, double>>> polylines(const std::string& svg) {
  std::vector<std::vector<std::pair<double, double>>> lines;
  const std::string start = "<polyline points=\"";
  for (size_t at = svg.find(start); at != svg.npos; at = svg.find(start, at + 1)) {
    const size_t from = at + start.size();
    std::istringstream points(svg.substr(from, svg.find('"', from) - from));
    lines.emplace_back();
    double x, y;
    char comma;
    while (points >> x >> comma >> y) lines.back().push_back({x, y});
  }
  return lines;
}

Chart chart_of(std::vector<double> x, std::vector<double> y) {
  return {"Loss", "minutes", "", {{"loss", std::move(x), std::move(y)}}};
}

}  // namespace

TEST_CASE("ticks are round, inside the range, and written with the decimals of their step") {
  CHECK(round_ticks(0, 1).labels == std::vector<std::string>{"0.0", "0.2", "0.4", "0.6", "0.8", "1.0"});
  CHECK(round_ticks(0.13, 0.31).labels == std::vector<std::string>{"0.15", "0.20", "0.25", "0.30"});
  CHECK(round_ticks(-7, 12).labels == std::vector<std::string>{"-5", "0", "5", "10"});
  CHECK(round_ticks(0, 3e-4).labels == std::vector<std::string>{"0.00000", "0.00005", "0.00010", "0.00015",
                                                                "0.00020", "0.00025", "0.00030"});
  CHECK(round_ticks(0, 4e-8).labels == std::vector<std::string>{"0", "1e-08", "2e-08", "3e-08", "4e-08"});
  CHECK(round_ticks(0, 5e8).labels ==
        std::vector<std::string>{"0", "1e+08", "2e+08", "3e+08", "4e+08", "5e+08"});
  CHECK(round_ticks(1000, 50000).labels ==
        std::vector<std::string>{"10000", "20000", "30000", "40000", "50000"});
  CHECK(round_ticks(-1e300, 1e300).values.size() <= 8);
  for (double high = 0.01; high < 1000; high *= 1.37) {
    const Ticks ticks = round_ticks(high / 9, high);
    CHECK(ticks.values.size() >= 3);
    CHECK(ticks.values.size() <= 8);
    CHECK(ticks.values.front() >= high / 9 * (1 - 1e-5));
    CHECK(ticks.values.back() <= high * (1 + 1e-5));
  }
}

TEST_CASE("a curve goes from corner to corner of its plot") {
  const auto lines = polylines(svg_chart(chart_of({0, 5, 10}, {0, 0.5, 1})));
  REQUIRE(lines.size() == 1);
  CHECK(lines[0] == std::vector<std::pair<double, double>>{{52, 270}, {240, 160}, {428, 50}});
  // Long labels take their space from the plot.
  CHECK(polylines(svg_chart(chart_of({0, 10}, {0, 3e-4}))).at(0).at(0) == std::pair<double, double>{70, 270});
  // A given range overrides that of the points.
  const auto half =
      polylines(svg_chart(chart_of({0, 5, 10}, {0, 0.5, 1}), AxisRange{0, 20}, AxisRange{0, 2}));
  CHECK(half.at(0) == std::vector<std::pair<double, double>>{{52, 270}, {146, 215}, {240, 160}});
}

TEST_CASE("NaN is a gap, and a single point is a dot") {
  const std::string svg =
      svg_chart(chart_of({0, 1, 2, 3, 4, 5, 6, 7}, {1, 2, NAN, 3, INFINITY, 4, 5, -INFINITY}));
  const auto lines = polylines(svg);
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].size() == 2);
  CHECK(lines[1].size() == 2);
  CHECK(count(svg, "<circle") == 1);
  CHECK(svg.find("nan") == svg.npos);
  CHECK(svg.find("inf") == svg.npos);
}

TEST_CASE("charts of no point, one point and a flat curve still have axes") {
  for (const Chart& chart : {Chart{"t", "", "", {}}, chart_of({}, {}), chart_of({NAN}, {NAN}),
                             chart_of({3}, {0.25}), chart_of({1, 2}, {7, 7}), chart_of({1, 2}, {0, 0}),
                             chart_of({1, 2}, {1, 1 + 1e-15}), chart_of({0, 1}, {-1e300, 9e299})}) {
    const std::string svg = svg_chart(chart);
    CHECK(count(svg, "</text>") >= 7);
    CHECK(svg.find("nan") == svg.npos);
    CHECK(svg.find("inf") == svg.npos);
    CHECK(svg.ends_with("</svg>\n"));
  }
  CHECK(count(svg_chart(chart_of({3}, {0.25})), "<circle cx=\"240.0\" cy=\"") == 1);
  CHECK(polylines(svg_chart(chart_of({1, 2}, {7, 7}))).at(0).size() == 2);
}

TEST_CASE("many points become few, and no peak is lost") {
  Chart chart = chart_of({}, {});
  for (int i = 0; i < 100000; ++i) {
    chart.curves[0].x.push_back(i);
    chart.curves[0].y.push_back(i == 54321 ? 1 : i == 70000 ? 0 : 0.5 + 0.1 * std::sin(i));
  }
  const auto lines = polylines(svg_chart(chart));
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].size() <= 4 * 2 * (428 - 52 + 1));
  CHECK(std::is_sorted(lines[0].begin(), lines[0].end(), [](auto a, auto b) { return a.first < b.first; }));
  const auto [low, high] = std::minmax_element(lines[0].begin(), lines[0].end(),
                                               [](auto a, auto b) { return a.second < b.second; });
  CHECK(low->second == 50);
  CHECK(high->second == 270);
  CHECK(low->first == Approx(52 + 376 * 54321 / 99999.0).margin(0.1));
}

TEST_CASE("the legend names each curve, wraps, and escapes") {
  Chart chart{"a < b", "\"x\"", "", {}};
  for (int i = 0; i < 20; ++i) chart.curves.push_back({fmt::format("class <{}>", i), {0, 1}, {0, double(i)}});
  const std::string svg = svg_chart(chart);
  for (int i = 0; i < 20; ++i) CHECK_THAT(svg, Contains(fmt::format(">class &lt;{}&gt;</text>", i)));
  CHECK_THAT(svg, Contains("aria-label=\"a &lt; b\"") && Contains(">&quot;x&quot;</text>"));
  CHECK(svg.find("<0>") == svg.npos);
  CHECK(count(svg, "stroke-dasharray=\"7 4\"") == 2 * 8);  // curves 8 to 15, and their marks
  CHECK(count(svg, "stroke-dasharray=\"2 4\"") == 2 * 4);
  CHECK_THAT(svg_chart(Chart{"", "", "", {{std::string(100, 'n'), {}, {}}}}),
             Contains(">" + std::string(48, 'n') + "…<"));
  CHECK_THROWS_WITH(svg_chart(chart_of({1, 2}, {1})),
                    Contains("curve 'loss' of chart 'Loss' has 2 x and 1 y"));
}

TEST_CASE("text is escaped and bytes are base64") {
  CHECK(escape_html("<a href=\"x\">'&'</a>\n\x01") ==
        "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt; \xEF\xBF\xBD");
  CHECK(escape_html("größe 日本") == "größe 日本");
  CHECK(escape_html("caf\xE9") == "caf\\xE9");
  // RFC 4648, section 10.
  for (const auto& [bytes, text] : std::vector<std::pair<std::string, std::string>>{{"", ""},
                                                                                    {"f", "Zg=="},
                                                                                    {"fo", "Zm8="},
                                                                                    {"foo", "Zm9v"},
                                                                                    {"foob", "Zm9vYg=="},
                                                                                    {"fooba", "Zm9vYmE="},
                                                                                    {"foobar", "Zm9vYmFy"}})
    CHECK(base64(bytes) == text);
  CHECK(base64("\xFF\xFE\x80") == "//6A");
}
