#pragma once
// For the exercises of chapter 6.

// A depthwise convolution: images (batch, height, width, channels), a filter (kernel, kernel, channels), and
// outputs (batch, out_height, out_width, channels). The window of output (i, j) begins at row
// i stride - pad_y and column j stride - pad_x of the image.
struct DepthwiseSizes {
  int batch, height, width, channels;
  int kernel, stride;
  int out_height, out_width;
  int pad_y, pad_x;
};
