#pragma once
#include "models/box.h"

namespace fovea {

// A box relative to an anchor, in the order of the network's outputs: the shift of the centre in heights and
// widths of the anchor, and the logarithm of the ratio of the sizes (Faster R-CNN paper, equation 2, without
// variances).
struct BoxCode {
  float ty = 0, tx = 0, th = 0, tw = 0;
  bool operator==(const BoxCode&) const = default;
};

// decode() clamps |ty| and |tx| to max_shift and th and tw to max_log_ratio from above. Both lie far beyond
// any box in an image (e^20 is 5e8 anchors), so they change no detection; but within them any finite code of
// an anchor below 1e8 pixels decodes to finite edges and a finite area, where an unclamped exp overflows
// float from 89 on.
constexpr float max_shift = 1e6f;
constexpr float max_log_ratio = 20;

// The code that decode() turns back into `truth`. Throws Error unless both boxes have a positive, finite
// size, because the logarithm would put infinities into the loss.
BoxCode encode(const Box& anchor, const Box& truth);

// The box for a code and this anchor. A NaN in the code stays NaN.
Box decode(const Box& anchor, const BoxCode& code);

}  // namespace fovea
