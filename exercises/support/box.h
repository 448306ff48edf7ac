#pragma once

// A box by its edges, y0 <= y1 and x0 <= x1.
struct Box {
  double y0, x0, y1, x1;
};
