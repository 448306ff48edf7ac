#pragma once
#include <algorithm>
#include <cstdint>

#include "core/error.h"
#include "core/simd.h"
#include "cuda/kernels/depthwise_conv2d.h"

namespace fovea {

// One row of a correlation: output pixel j, channel c is
//   sum over rows a and taps t of rows[a][(first + j S + t) C + c] * weights[(a TAPS + t) C + c].
// The forward pass and both input gradients consist of such rows.
template <class T>
struct RowTask {
  const T* rows[5];  // input rows that lie inside the image
  const T* weights;  // (row count, taps, C), matching `rows`
  int row_count;
  int64_t in_width, channels;
  int64_t first;  // input pixel under tap 0 of output pixel 0; may be negative
  T* out;
  int64_t out_width;
  int64_t out_step;  // elements from one output pixel to the next
};

// PIXELS output pixels of one channel block: each input vector is loaded once and used for every output and
// tap it contributes to, with all accumulators in registers.
template <class V, int TAPS, int S, int PIXELS, class T>
[[gnu::always_inline]] inline void pixels_inside(const RowTask<T>& task, int64_t j, int64_t c) {
  V sum[PIXELS] = {};
  const int64_t channels = task.channels;
  for (int a = 0; a < task.row_count; ++a) {
    const T* w = task.weights + a * TAPS * channels + c;
    const T* in = task.rows[a] + (task.first + j * S) * channels + c;
    V tap[TAPS];
    for (int t = 0; t < TAPS; ++t) tap[t] = load<V>(w + t * channels);
#pragma GCC unroll 24
    for (int i = 0; i < (PIXELS - 1) * S + TAPS; ++i) {
      const V value = load<V>(in + i * channels);
#pragma GCC unroll 8
      for (int t = 0; t < TAPS; ++t)
        if ((i - t) % S == 0 && i >= t && (i - t) / S < PIXELS) sum[(i - t) / S] += value * tap[t];
    }
  }
#pragma GCC unroll 8
  for (int p = 0; p < PIXELS; ++p) store(task.out + (j + p) * task.out_step + c, sum[p]);
}

// PIXELS output pixels from j on, whose windows lie inside the image.
template <int TAPS, int S, int PIXELS, class T>
void strip_inside(const RowTask<T>& task, int64_t j) {
  for_channel_blocks<T>(task.channels,
                        [&]<class V>(int64_t c) { pixels_inside<V, TAPS, S, PIXELS>(task, j, c); });
}

// One output pixel at the left or right border: taps outside the image are left out.
template <int TAPS, int S, class T>
void pixel_at_border(const RowTask<T>& task, int64_t j) {
  const int64_t x = task.first + j * S;
  const int t0 = int(std::max<int64_t>(0, -x)), t1 = int(std::min<int64_t>(TAPS, task.in_width - x));
  for_channel_blocks<T>(task.channels, [&]<class V>(int64_t c) {
    V sum = {};
    for (int a = 0; a < task.row_count; ++a)
      for (int t = t0; t < t1; ++t)
        sum += load<V>(task.rows[a] + (x + t) * task.channels + c) *
               load<V>(task.weights + (a * TAPS + t) * task.channels + c);
    store(task.out + j * task.out_step + c, sum);
  });
}

// A whole row of the output.
template <int TAPS, int S, class T>
void correlate_row(const RowTask<T>& task) {
  // The windows of output pixels [begin, end) lie inside the image.
  int64_t begin = task.first < 0 ? (-task.first + S - 1) / S : 0;
  const int64_t room = task.in_width - TAPS - task.first;
  int64_t end = room < 0 ? 0 : std::min(task.out_width, room / S + 1);
  begin = std::min(begin, task.out_width);
  end = std::max(begin, end);
  int64_t j = 0;
  for (; j < begin; ++j) pixel_at_border<TAPS, S>(task, j);
  constexpr int wide = S == 1 ? 8 : 6;
  for (; j + wide <= end; j += wide) strip_inside<TAPS, S, wide>(task, j);
  for (; j + 3 <= end; j += 3) strip_inside<TAPS, S, 3>(task, j);
  for (; j < end; ++j) strip_inside<TAPS, S, 1>(task, j);
  for (; j < task.out_width; ++j) pixel_at_border<TAPS, S>(task, j);
}

// Row o of a level's output; row(i) returns row i of its input and is called for those under the window.
template <int K, int S, class T, class Row>
void forward_row(const Row& row, const T* w, const DepthwiseLevel& at, int64_t channels, int64_t o, T* out) {
  const int64_t top = o * S - at.pad_y;
  const int a0 = int(std::max<int64_t>(0, -top)), a1 = int(std::min<int64_t>(K, at.in.height - top));
  RowTask<T> task{{},  w + a0 * K * channels, a1 - a0, at.in.width, channels, -at.pad_x,
                  out, at.out.width,          channels};
  for (int a = a0; a < a1; ++a) task.rows[a - a0] = row(top + a);
  correlate_row<K, S>(task);
}

// Calls f.operator()<K, S>() for a window's kernel and stride.
template <class F>
void with_window(int kernel, int stride, F&& f) {
  if (kernel == 3 && stride == 1) return f.template operator()<3, 1>();
  if (kernel == 3 && stride == 2) return f.template operator()<3, 2>();
  if (kernel == 5 && stride == 1) return f.template operator()<5, 1>();
  if (kernel == 5 && stride == 2) return f.template operator()<5, 2>();
  fail("[depthwise_conv2d] kernel {} with stride {} must be 3 or 5 with 1 or 2", kernel, stride);
}

}  // namespace fovea
