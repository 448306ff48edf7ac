#include "models/anchors.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "tests/support/box_goldens.h"

using namespace fovea;
using Catch::Contains;

TEST_CASE("anchors are effdet's, to the last bit at the published factors") {
  for (const auto& row : read_golden("box_anchors")) {
    AnchorOptions options;
    options.max_level = row["max_level"];
    options.anchor_scale = row["scale"];
    options.aspect_factors.clear();
    for (const auto& pair : row["aspects"]) options.aspect_factors.push_back({pair[0], pair[1]});
    const auto anchors = generate_anchors(row["height"], row["width"], options);
    CAPTURE(row["height"], row["width"]);
    REQUIRE(anchors.size() == row["count"].get<size_t>());
    CHECK(count_anchors(row["height"], row["width"], options) == row["count"].get<int64_t>());

    const auto expected = boxes_of(row["boxes"]);
    const auto index = row["index"].get<std::vector<size_t>>();
    int different = 0;
    for (size_t i = 0; i < index.size(); ++i) different += !(anchors[index[i]] == expected[i]);
    CHECK(different == 0);

    double sums[4] = {};
    for (size_t i = 0; i < anchors.size(); ++i) {
      const auto& [ymin, xmin, ymax, xmax] = anchors[i];
      const float edges[4] = {ymin, xmin, ymax, xmax};
      for (int k = 0; k < 4; ++k) sums[k] += double(edges[k]) * double(i + 1);
    }
    for (size_t k = 0; k < 4; ++k) CHECK(sums[k] == Approx(row["sums"][k].get<double>()).epsilon(1e-12));
  }
}

TEST_CASE("the first anchors by hand") {
  // Level 3 of 512 x 512: stride 8, sides 4 * 8 = 32; the second cell is one stride to the right.
  const auto anchors = generate_anchors(512, 512, {});
  REQUIRE(anchors.size() == 49104);  // the EfficientDet-D0 figure
  CHECK(anchors[0] == Box{4 - 16, 4 - 16, 4 + 16, 4 + 16});
  CHECK(anchors[1].width() == Approx(32 * 1.4));
  CHECK(anchors[1].height() == Approx(32 * 0.7));
  CHECK(anchors[3].width() == Approx(32 * std::cbrt(2.0)));
  CHECK(anchors[9] == Box{-12, -4, 20, 28});
  CHECK(anchors[9 * 64] == Box{-4, -12, 28, 20});
  CHECK(anchors[49104 - 9] == Box{448 - 256, 448 - 256, 448 + 256, 448 + 256});
}

TEST_CASE("levels halve with rounding up, so odd sizes occur") {
  const auto sizes = level_sizes(300, 427, {});
  CHECK(sizes == std::vector<LevelSize>{{3, 38, 54}, {4, 19, 27}, {5, 10, 14}, {6, 5, 7}, {7, 3, 4}});
  CHECK(count_anchors(256, 256, {}) == 12276);
  CHECK(count_anchors(1, 1, {}) == 5 * 9);
  // Cells of a real-valued stride tile the image: the last centre is half a stride before the edge.
  const AnchorOptions options{.min_level = 7, .scales_per_octave = 1, .aspect_factors = {{1, 1}}};
  const Box last = generate_anchors(300, 427, options).back();
  CHECK((last.ymin + last.ymax) / 2 == Approx(300 - 50));
  CHECK((last.xmin + last.xmax) / 2 == Approx(427 - 427 / 8.0));
  CHECK(last.height() == Approx(400));
  CHECK(last.width() == Approx(427));
}

TEST_CASE("the default scale follows the input size below 512 pixels") {
  CHECK(default_anchor_scale(512) == 4);
  CHECK(default_anchor_scale(1536) == 4);
  CHECK(default_anchor_scale(256) == 2);
  CHECK(default_anchor_scale(128) == 1);
  CHECK(default_anchor_scale(320) == 2.5);
  CHECK(default_anchor_scale(32) == 1);
  CHECK_THROWS_WITH(default_anchor_scale(0), Contains("image size is 0"));
}

TEST_CASE("aspect ratios and scales are read from text") {
  CHECK(parse_aspect_ratios("1,1.4x0.7,0.7x1.4") == AnchorOptions{}.aspect_factors);
  const auto factors = parse_aspect_ratios("2,0.25");
  REQUIRE(factors.size() == 2);
  CHECK(factors[0][0] == Approx(1.414213562373095));
  CHECK(factors[0][1] == Approx(0.707106781186547));
  CHECK(factors[1] == std::array<double, 2>{0.5, 2});
  CHECK(parse_anchor_scale("2.5") == 2.5);
}

TEST_CASE("bad anchor options are refused by name and value") {
  for (const char* text :
       {"", "1,,2", "1,", "0", "-1", "two", "1x", "x2", "1x2x3", "nan", "inf", "1 ", "1e999"}) {
    CAPTURE(text);
    CHECK_THROWS_WITH(parse_aspect_ratios(text), Contains(text) && Contains("neither a ratio"));
  }
  for (const char* text : {"", "0", "-4", "four", "4px", "inf"})
    CHECK_THROWS_WITH(parse_anchor_scale(text), Contains("the anchor scale '" + std::string(text) + "'"));
  CHECK_THROWS_WITH(aspect_factors(-2), Contains("ratio -2"));
  CHECK_THROWS_WITH(check(AnchorOptions{.min_level = 0}), Contains("levels are 0 to 7"));
  CHECK_THROWS_WITH(check(AnchorOptions{.min_level = 5, .max_level = 4}), Contains("levels are 5 to 4"));
  CHECK_THROWS_WITH(check(AnchorOptions{.scales_per_octave = 0}), Contains("scales_per_octave is 0"));
  CHECK_THROWS_WITH(check(AnchorOptions{.aspect_factors = {}}), Contains("aspect factors is empty"));
  CHECK_THROWS_WITH(check(AnchorOptions{.aspect_factors = {{1, 0}}}), Contains("(1, 0)"));
  CHECK_THROWS_WITH(check(AnchorOptions{.anchor_scale = NAN}), Contains("anchor_scale is nan"));
  CHECK_THROWS_WITH(generate_anchors(0, 64, {}), Contains("0 x 64"));
}
