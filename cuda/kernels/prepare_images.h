#pragma once
#include <cstddef>
#include <cstdint>

namespace fovea {

// How one image becomes a part of a network's input. Everything it refers to is in one piece of memory, at
// offsets in bytes that are multiples of 4; the jobs are at its beginning.
struct ImageJob {
  // An axis of the part: `size` pixels of the input from `begin` on, of which the first `count` show the
  // image. Each pixel i of these is the sum over t < taps of weights[i * taps + t], float, times pixel
  // first[i] + t, int32, of the source.
  struct Axis {
    int32_t begin, size, count, taps;
    int64_t first, weights;
  };
  Axis across, down;
  int64_t source;  // red, green and blue bytes; if taps is 0 float32, size x size pixels ready for use
  int32_t source_width, image, changes_colours;  // pixels of a source's row; place in the batch; 0 or 1
  float colours[3][4];      // red, green and blue from the source's and 1, then clamped to 0 .. 255
  float gain[3], shift[3];  // value * gain + shift is written
};

namespace cuda {

// images (N, height, width, 3), T: float, bfloat16; every pixel must belong to one job. `bytes` is the memory
// that the jobs refer to, `most` the pixels of the largest part.
template <class T>
void prepare_images(const std::byte* bytes, int64_t jobs, int64_t most, T* images, int height, int width);

}  // namespace cuda
}  // namespace fovea
