#pragma once
#include <cstdint>

#include "cuda/device/bfloat16.h"
#include "cuda/kernels/window.h"

namespace fovea {

// The sizes of a convolution and what follows from them.
struct Conv2dDims {
  int64_t batch = 0, in_height = 0, in_width = 0, in_channels = 0, out_channels = 0;
  Window window;

  int64_t out_height() const { return window.output_size(in_height); }
  int64_t out_width() const { return window.output_size(in_width); }
  int64_t in_row() const { return in_width * in_channels; }
  int64_t out_row() const { return out_width() * out_channels; }
  int64_t out_pixels() const { return batch * out_height() * out_width(); }
  // Numbers of one filter row, which are contiguous in the image as well.
  int64_t taps() const { return window.kernel * in_channels; }
  // The number of terms in one output's sum: the rows of w as a matrix with Cout columns.
  int64_t filter_rows() const { return window.kernel * taps(); }
};

namespace cuda {

// y[n,i,j,o] = sum_{a,b,c} x[n, i s + a - p, j s + b - p, c] w[a,b,c,o]. x (N, H, W, Cin), w (k, k, Cin,
// Cout), y (N, H', W', Cout); any window. T: float, double, bfloat16. It uses cuDNN where cudnn.h says so,
// and otherwise the first of these kernels that supports the sizes: for the weight gradient patches
// (conv2d_patches.cu), strips for few input channels
// (conv2d.cu), tiles for channels in packs of four (conv2d_tiled.h), one thread per number.
template <class T>
void conv2d(const T* x, const Accumulator<T>* w, T* y, const Conv2dDims& dims);
// dx (N, H, W, Cin) is written whole, including pixels that are in no window.
template <class T>
void conv2d_input_gradient(const Accumulator<T>* w, const T* dy, T* dx, const Conv2dDims& dims);
// dw (k, k, Cin, Cout) is written whole. Sums run in Accumulator<T> within a block and in double over blocks,
// in a fixed order.
template <class T>
void conv2d_weight_gradient(const T* x, const T* dy, Accumulator<T>* dw, const Conv2dDims& dims);

// The most that any of the three takes from the caching allocator while it runs through cuDNN; otherwise 0,
// since the partial sums of our own kernels are small. T as above.
template <class T>
int64_t conv2d_library_bytes(const Conv2dDims& dims);

// to (columns, rows) = from (rows, columns) transposed, with each number converted: a filter in cuDNN's
// layout, (Cout, k, k, Cin), and back. From, To: float, double, or one of them bfloat16 and the other float.
template <class From, class To>
void transpose(const From* from, To* to, int64_t rows, int64_t columns);

}  // namespace cuda
}  // namespace fovea
