// The weight gradient of a network's first convolution as a matrix product: dw = p^T dy, where row i of p has
// the 27 numbers of the image under the window of output pixel i. Bytes moved: x and dy once.
//
// Each warp works alone, on 32 pixels at a time. A lane loads its pixel's three filter rows, of nine numbers
// that are neighbours in the image, in five words each: ten numbers, of which the first or the last is not
// used. They go through shared memory, and so does dy, to tensor cores. While a warp multiplies, it
// is already loading the numbers of its next pixels.
#include "cuda/kernels/conv2d_patches.h"

#include <algorithm>

#include "cuda/device/pixel.h"
#include "cuda/device/sm_80.h"
#include "cuda/kernels/reduction.h"
#include "cuda/runtime/device.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"

namespace fovea::cuda {
namespace {

using Numbers = Pack<bfloat16, 8>;
inline constexpr int pack = 8, kernel = 3, channels = 3, taps = kernel * channels;
inline constexpr int lanes = 32, warps = 4, columns = 32;  // a block computes 32 columns of dw
inline constexpr int row_words = 5, row_numbers = 2 * row_words;
// Packs from a row of 32 numbers in shared memory to the next, so that eight rows begin in different banks;
// of a matrix of 32 rows; of p and dy.
inline constexpr int step = columns / pack + 1, matrix = lanes * step, stage_packs = 2 * matrix;

struct Geometry {
  int height, width, out_height, out_width, out_channels, stride, pad_y, pad_x;
  int pixels, groups;  // of the output; groups of 32 of them

  explicit Geometry(const Conv2dDims& d)
      : height(int(d.in_height)),
        width(int(d.in_width)),
        out_height(int(d.out_height())),
        out_width(int(d.out_width())),
        out_channels(int(d.out_channels)),
        stride(d.window.stride),
        pad_y(int(d.window.pad_before(d.in_height))),
        pad_x(int(d.window.pad_before(d.in_width))),
        pixels(int(d.out_pixels())),
        groups((pixels + lanes - 1) / lanes) {}
  // How many of its ten numbers a filter row has before its first: words begin at even places.
  HD int before() const { return pad_x * channels % 2; }
};

// The words of a pixel's three filter rows; zeros outside the image.
struct Patch {
  uint32_t words[kernel * row_words] = {};

  __device__ void load(const bfloat16* x, int pixel, const Geometry& g) {
    const unsigned row = unsigned(pixel) / unsigned(g.out_width), image = row / unsigned(g.out_height);
    const int column = pixel - int(row) * g.out_width, i = int(row - image * unsigned(g.out_height));
    const int first = (column * g.stride - g.pad_x) * channels - g.before(), top = i * g.stride - g.pad_y;
    UNROLL for (int a = 0; a < kernel; ++a) {
      const bool in_image = pixel < g.pixels && inside(top + a, g.height);
      const auto* from = reinterpret_cast<const uint32_t*>(
          x + (int64_t(image) * g.height + (in_image ? top + a : 0)) * g.width * channels);
      UNROLL for (int j = 0; j < row_words; ++j) {
        const int at = first + 2 * j;
        words[a * row_words + j] = in_image && inside(at, g.width * channels) ? from[at / 2] : 0;
      }
    }
  }
  __device__ void store(Numbers* row) const {
    auto* const to = reinterpret_cast<uint4*>(row);
    UNROLL for (int i = 0; i < 3; ++i) {
      to[i] = {words[4 * i], words[4 * i + 1], words[4 * i + 2], words[4 * i + 3]};
    }
    to[3] = {words[12], words[13], words[14], 0};
  }
};

// partial (blocks along x, 3, 9, Cout)
__global__ void __launch_bounds__(lanes* warps, 5)
    weight_gradient_patches(const bfloat16* x, const bfloat16* dy, float* partial, Geometry g) {
  const int lane = int(threadIdx.x) % lanes, warp = int(threadIdx.x) / lanes;
  const int first_column = int(blockIdx.y) * columns;
  Numbers* const stages = dynamic_shared<Numbers>() + warp * 2 * stage_packs;
  const auto copy_dy = [&](int group, Numbers* to) {
    UNROLL for (int i = 0; i < lanes * columns / pack; i += lanes) {
      const int row = (i + lane) / (columns / pack), number = lane % (columns / pack);
      const int pixel = group * lanes + row, column = first_column + number * pack;
      const bool wanted = pixel < g.pixels && column < g.out_channels;
      copy_async(to[matrix + row * step + number].value,
                 dy + (wanted ? int64_t(pixel) * g.out_channels + column : 0), wanted);
    }
    end_copy_group();
  };

  float sums[2][4][4] = {};
  const int all = int(gridDim.x) * warps;
  int group = int(blockIdx.x) * warps + warp, stage = 0;
  Patch next;
  if (group < g.groups) {
    copy_dy(group, stages);
    next.load(x, group * lanes + lane, g);
    next.store(stages + lane * step);
  }
  NO_UNROLL for (; group < g.groups; group += all, stage ^= 1) {
    wait_for_copy_groups<0>();
    __syncwarp();
    const Numbers* const p = stages + stage * stage_packs;
    Numbers* const other = stages + (stage ^ 1) * stage_packs;
    const bool more = group + all < g.groups;
    if (more) {
      copy_dy(group + all, other);
      next.load(x, (group + all) * lanes + lane, g);
    }
    UNROLL for (int row = 0; row < lanes; row += 16) {
      uint32_t of_p[2][4], of_dy[2][4];
      UNROLL for (int half = 0; half < 2; ++half) {
        load_matrices<true>(of_p[half],
                            p + (row + lane / 16 * 8 + lane % 8) * step + 2 * half + lane / 8 % 2);
        load_matrices<true>(of_dy[half], p + matrix + (row + lane % 16) * step + 2 * half + lane / 16);
      }
      UNROLL for (int i = 0; i < 2; ++i) {
        UNROLL for (int j = 0; j < 4; ++j) { multiply_add(sums[i][j], of_p[i], of_dy[j / 2] + j % 2 * 2); }
      }
    }
    if (more) next.store(other + lane * step);
  }

  // The sums of the warps, where the stages were: first each warp's, then of all in their order.
  float* const of_warps = reinterpret_cast<float*>(dynamic_shared<Numbers>());
  __syncthreads();
  UNROLL for (int i = 0; i < 2; ++i) {
    UNROLL for (int j = 0; j < 4; ++j) {
      UNROLL for (int below = 0; below < 2; ++below) {
        float* const to =
            of_warps + (warp * 32 + i * 16 + lane / 4 + 8 * below) * columns + j * 8 + lane % 4 * 2;
        to[0] = sums[i][j][2 * below];
        to[1] = sums[i][j][2 * below + 1];
      }
    }
  }
  __syncthreads();
  const int column = first_column + lane;
  if (column >= g.out_channels) return;
  partial += int64_t(blockIdx.x) * kernel * taps * g.out_channels + column;
  NO_UNROLL for (int tap = warp; tap < kernel * taps; tap += warps) {
    const int row = tap / taps * row_numbers + tap % taps + g.before();
    float sum = 0;
    UNROLL for (int w = 0; w < warps; ++w) { sum += of_warps[(w * 32 + row) * columns + lane]; }
    partial[tap * g.out_channels] = sum;
  }
}

}  // namespace

template <class T>
bool conv2d_weight_gradient_patches(const T* x, const T* dy, Accumulator<T>* dw, const Conv2dDims& d) {
  constexpr int64_t most = int64_t(1) << 30;  // so that indices of pixels stay below 2^31
  if (d.window.kernel != kernel || d.in_channels != channels || d.in_width % 2 != 0 ||
      d.window.stride % 2 != 0 || d.out_channels % pack != 0 || d.out_pixels() == 0 ||
      d.out_pixels() > most || device_properties().major < 8)
    return false;
  const Geometry g(d);
  const int64_t n = d.filter_rows() * d.out_channels;
  // As many blocks as the 132 multiprocessors of an H200 hold, with the same number of steps or one fewer.
  const int held = 132 * 5, needed = (g.groups + warps - 1) / warps, steps = (needed + held - 1) / held;
  const int blocks = (needed + steps - 1) / steps;
  const Workspace<float> partial(blocks * n);
  LaunchConfig config(dim3(unsigned(blocks), unsigned((d.out_channels + columns - 1) / columns)),
                      dim3(lanes * warps), size_t(warps * 2 * stage_packs) * sizeof(Numbers));
  config.steps = steps;
  launch(weight_gradient_patches, config, x, dy, partial.data(), g);
  add_partials<float>(partial.data(), dw, {1, blocks, n});
  return true;
}

#define INSTANTIATE(T) \
  template bool conv2d_weight_gradient_patches<T>(const T*, const T*, Accumulator<T>*, const Conv2dDims&);
INSTANTIATE(bfloat16)

}  // namespace fovea::cuda
