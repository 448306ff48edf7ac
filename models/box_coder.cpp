#include "models/box_coder.h"

#include <cmath>

#include "core/error.h"

namespace fovea {
namespace {

struct CentreSize {
  float y, x, height, width;
};

CentreSize centre_size(const Box& box) {
  return {box.ymin + box.height() / 2, box.xmin + box.width() / 2, box.height(), box.width()};
}

// NaN compares false and so passes through unchanged.
float at_most(float x, float limit) { return x > limit ? limit : x; }
float within(float x, float limit) { return x < -limit ? -limit : at_most(x, limit); }

void check_size(const char* what, const Box& box) {
  require(box.height() > 0 && box.width() > 0 && std::isfinite(box.height()) && std::isfinite(box.width()),
          "[encode] the {} with ymin {}, xmin {}, ymax {}, xmax {} has no positive, finite size: leave such "
          "boxes out",
          what, box.ymin, box.xmin, box.ymax, box.xmax);
}

}  // namespace

BoxCode encode(const Box& anchor, const Box& truth) {
  check_size("anchor", anchor);
  check_size("box", truth);
  const CentreSize a = centre_size(anchor), t = centre_size(truth);
  return {(t.y - a.y) / a.height, (t.x - a.x) / a.width, std::log(t.height / a.height),
          std::log(t.width / a.width)};
}

Box decode(const Box& anchor, const BoxCode& code) {
  const CentreSize a = centre_size(anchor);
  const float y = within(code.ty, max_shift) * a.height + a.y;
  const float x = within(code.tx, max_shift) * a.width + a.x;
  const float height = std::exp(at_most(code.th, max_log_ratio)) * a.height;
  const float width = std::exp(at_most(code.tw, max_log_ratio)) * a.width;
  return {y - height / 2, x - width / 2, y + height / 2, x + width / 2};
}

}  // namespace fovea
