#include "models/box_coder.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "models/anchors.h"
#include "tests/support/box_goldens.h"

using namespace fovea;
using Catch::Contains;

TEST_CASE("a code by hand") {
  const Box anchor{0, 0, 10, 20},
      truth{5, -10, 25, 10};  // centres (5, 10) and (15, 0), sizes 10 x 20 and 20 x 20
  const BoxCode code = encode(anchor, truth);
  CHECK(code.ty == 1);
  CHECK(code.tx == -0.5f);
  CHECK(code.th == Approx(std::log(2.0)));
  CHECK(code.tw == 0);
  CHECK(encode(anchor, anchor) == BoxCode{});
  CHECK(decode(anchor, {}) == anchor);
}

TEST_CASE("decoding gives effdet's boxes") {
  const auto golden = read_golden("box_decode")[0];
  const auto anchors = generate_anchors(golden["height"], golden["width"], {.anchor_scale = golden["scale"]});
  const auto expected = boxes_of(golden["boxes"]), codes = boxes_of(golden["codes"]);
  REQUIRE(expected.size() > 30);
  double worst = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const auto& [ty, tx, th, tw] = codes[i];
    const Box box = decode(anchors[golden["index"][i].get<size_t>()], {ty, tx, th, tw});
    const double size = std::max(expected[i].height(), expected[i].width());
    for (float Box::*edge : {&Box::ymin, &Box::xmin, &Box::ymax, &Box::xmax})
      worst = std::max(worst, std::abs(box.*edge - expected[i].*edge) / size);
  }
  CHECK(worst < 1e-6);
}

TEST_CASE("encoding and decoding undo each other") {
  Uniform uniform(21);
  const auto random_box = [&] {
    const double height = std::pow(2, 10 * uniform()), width = std::pow(2, 10 * uniform());
    const double y = 1000 * uniform() - 100, x = 1000 * uniform() - 100;
    return Box{float(y), float(x), float(y + height), float(x + width)};
  };
  double worst_box = 0, worst_code = 0;
  for (int i = 0; i < 2000; ++i) {
    const Box anchor = random_box(), truth = random_box();
    const Box box = decode(anchor, encode(anchor, truth));
    for (float Box::*edge : {&Box::ymin, &Box::xmin, &Box::ymax, &Box::xmax})
      worst_box = std::max(worst_box, double(std::abs(box.*edge - truth.*edge)));

    const auto random_code = uniform.array(4, -2, 2);
    const BoxCode code{random_code[0], random_code[1], random_code[2], random_code[3]};
    const Box square{100, 200, 164, 264};
    const BoxCode again = encode(square, decode(square, code));
    for (float BoxCode::*part : {&BoxCode::ty, &BoxCode::tx, &BoxCode::th, &BoxCode::tw})
      worst_code = std::max(worst_code, double(std::abs(again.*part - code.*part)));
  }
  CHECK(worst_box < 1e-3);  // pixels, at coordinates up to 2000
  CHECK(worst_code < 2e-5);
}

TEST_CASE("wild codes decode to finite boxes, NaN stays NaN") {
  const Box anchor{-100, -100, 3000, 3000};
  const float huge = std::numeric_limits<float>::max();
  for (const float t : {huge, -huge, 1000.0f, 89.0f}) {
    const Box box = decode(anchor, {t, t, t, t});
    CHECK(std::isfinite(box.area()));
    CHECK(box.height() >= 0);
    CHECK(std::isfinite(box.ymin));
    CHECK(std::isfinite(box.xmax));
  }
  // The clamp does not change log ratios up to 20.
  CHECK(decode({0, 0, 1, 1}, {0, 0, 19, 0}).height() == Approx(std::exp(19.0)));
  CHECK(std::isnan(decode(anchor, {NAN, 0, 0, 0}).ymin));
  CHECK(std::isnan(decode(anchor, {0, 0, 0, NAN}).xmax));
}

TEST_CASE("boxes without a size cannot be encoded") {
  const Box good{0, 0, 4, 4};
  CHECK_THROWS_WITH(encode(good, {1, 2, 1, 8}), Contains("the box with ymin 1, xmin 2, ymax 1, xmax 8"));
  CHECK_THROWS_WITH(encode(good, {5, 5, 3, 8}), Contains("no positive, finite size"));
  CHECK_THROWS_WITH(encode(good, {0, 0, NAN, 8}), Contains("ymax nan"));
  CHECK_THROWS_WITH(encode(good, {0, 0, INFINITY, 8}), Contains("ymax inf"));
  CHECK_THROWS_WITH(encode({0, 0, 0, 4}, good), Contains("the anchor with"));
}
