// A network's input from the bytes of images. Bytes moved: those of the jobs, and 3 sizeof(T) per pixel of
// the input; a pixel reads 27 bytes of its source, more if the image is reduced, nearly all from the caches.
#include "cuda/kernels/prepare_images.h"

#include "cuda/device/bfloat16.h"
#include "cuda/device/grid.h"
#include "cuda/device/math.h"
#include "cuda/device/unroll.h"
#include "cuda/runtime/launch.h"

namespace fovea::cuda {
namespace {

struct Colour {
  float value[3];  // red, green, blue
};

// Columns first, as on the CPU, so that the sums have the same order.
__device__ inline Colour filtered(const ImageJob& job, const std::byte* bytes, int x, int y) {
  const int32_t left = reinterpret_cast<const int32_t*>(bytes + job.across.first)[x];
  const int32_t top = reinterpret_cast<const int32_t*>(bytes + job.down.first)[y];
  const float* along = reinterpret_cast<const float*>(bytes + job.across.weights) + x * job.across.taps;
  const float* down = reinterpret_cast<const float*>(bytes + job.down.weights) + y * job.down.taps;
  Colour sum{};
  for (int i = 0; i < job.across.taps; ++i) {
    const int64_t place = (int64_t(top) * job.source_width + left + i) * 3;
    const auto* pixel = reinterpret_cast<const uint8_t*>(bytes + job.source + place);
    Colour column{};
    for (int k = 0; k < job.down.taps; ++k, pixel += int64_t(job.source_width) * 3)
      UNROLL for (int c = 0; c < 3; ++c) column.value[c] += down[k] * float(pixel[c]);
    UNROLL for (int c = 0; c < 3; ++c) sum.value[c] += along[i] * column.value[c];
  }
  return sum;
}

__device__ inline Colour normalized(const ImageJob& job, const Colour& colour) {
  Colour result{};
  UNROLL for (int c = 0; c < 3; ++c) {
    const float *from = colour.value, *row = job.colours[c];
    float v = from[c];
    if (job.changes_colours)
      v = fminf(fmaxf(from[0] * row[0] + from[1] * row[1] + from[2] * row[2] + row[3], 0.0f), 255.0f);
    result.value[c] = v * job.gain[c] + job.shift[c];
  }
  return result;
}

template <class T>
__global__ void prepare_images_naive(const std::byte* bytes, T* images, int height, int width) {
  const ImageJob& job = reinterpret_cast<const ImageJob*>(bytes)[blockIdx.y];
  for (int64_t i : grid_stride(int64_t(job.down.size) * job.across.size)) {
    const int y = int(i / job.across.size), x = int(i % job.across.size);
    Colour colour{};
    if (job.across.taps == 0) {
      colour = reinterpret_cast<const Colour*>(bytes + job.source)[i];
    } else if (x < job.across.count && y < job.down.count) {
      colour = normalized(job, filtered(job, bytes, x, y));
    }
    const int64_t row = int64_t(job.image) * height + job.down.begin + y;
    T* to = images + (row * width + job.across.begin + x) * 3;
    UNROLL for (int c = 0; c < 3; ++c) to[c] = T(colour.value[c]);
  }
}

}  // namespace

template <class T>
void prepare_images(const std::byte* bytes, int64_t jobs, int64_t most, T* images, int height, int width) {
  const dim3 grid(grid_for(most).x, unsigned(jobs));
  launch(prepare_images_naive<T>, {grid, block_threads}, bytes, images, height, width);
}

#define INSTANTIATE(T) template void prepare_images<T>(const std::byte*, int64_t, int64_t, T*, int, int);
INSTANTIATE(float)
INSTANTIATE(bfloat16)

}  // namespace fovea::cuda
