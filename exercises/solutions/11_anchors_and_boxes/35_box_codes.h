// Exercise 35: box codes: encode and decode
#pragma once
#include <cmath>

// A box relative to an anchor: the shift of the centre in heights and widths of the anchor, and the
// logarithms of the ratios of the sizes. Both boxes have a positive size.
//   ty = (cy - cy_anchor) / height_anchor,   th = log(height / height_anchor),   and tx, tw likewise
struct Box {
  double y0, x0, y1, x1;
};
struct BoxCode {
  double ty, tx, th, tw;
};
inline BoxCode encode(const Box& anchor, const Box& box);
inline Box decode(const Box& anchor, const BoxCode& code) {
  const double height = anchor.y1 - anchor.y0, width = anchor.x1 - anchor.x0;
  const double cy = (anchor.y0 + anchor.y1) / 2 + code.ty * height,
               cx = (anchor.x0 + anchor.x1) / 2 + code.tx * width;
  const double half_height = height * std::exp(code.th) / 2, half_width = width * std::exp(code.tw) / 2;
  return {cy - half_height, cx - half_width, cy + half_height, cx + half_width};
}
inline BoxCode encode(const Box& anchor, const Box& box) {
  const double height = anchor.y1 - anchor.y0, width = anchor.x1 - anchor.x0;
  return {(box.y0 + box.y1 - anchor.y0 - anchor.y1) / 2 / height,
          (box.x0 + box.x1 - anchor.x0 - anchor.x1) / 2 / width, std::log((box.y1 - box.y0) / height),
          std::log((box.x1 - box.x0) / width)};
}
