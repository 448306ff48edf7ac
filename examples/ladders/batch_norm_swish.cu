// Ladder: batch norm with the statistics of the batch, and swish after it, in float.
#include <cmath>

#include "cuda/device/grid.h"
#include "cuda/kernels/activation.h"
#include "cuda/kernels/batch_norm.h"
#include "cuda/runtime/launch.h"
#include "examples/ladders/ladder.h"

using namespace fovea;

namespace {

constexpr int rows = 2048, channels = 32, numbers = rows * channels;
constexpr float epsilon = 1e-3f;

// A thread adds up one channel.
__global__ void mean_of_channels(const float* x, float* mean) {
  const int channel = int(threadIdx.x);
  float sum = 0;
  for (int row = 0; row < rows; ++row) sum += x[row * channels + channel];
  mean[channel] = sum / rows;
}

__global__ void variance_of_channels(const float* x, const float* mean, float* variance) {
  const int channel = int(threadIdx.x);
  const float center = mean[channel];
  float sum = 0;
  for (int row = 0; row < rows; ++row) {
    const float distance = x[row * channels + channel] - center;
    sum += distance * distance;
  }
  variance[channel] = sum / rows;
}

__global__ void normalize(const float* x, const float* mean, const float* variance, const float* weight,
                          const float* bias, float* y) {
  for (int64_t i : grid_stride(numbers)) {
    const int channel = int(i) % channels;
    const float scale = weight[channel] / std::sqrt(variance[channel] + epsilon);
    y[i] = (x[i] - mean[channel]) * scale + bias[channel];
  }
}

__global__ void apply_swish(const float* z, float* y) {
  for (int64_t i : grid_stride(numbers)) y[i] = Swish::forward(z[i]);
}

// normalize and apply_swish in one pass.
__global__ void normalize_swish(const float* x, const float* mean, const float* variance, const float* weight,
                                const float* bias, float* y) {
  for (int64_t i : grid_stride(numbers)) {
    const int channel = int(i) % channels;
    const float scale = weight[channel] / std::sqrt(variance[channel] + epsilon);
    y[i] = Swish::forward((x[i] - mean[channel]) * scale + bias[channel]);
  }
}

// Mean and variance in one pass. Distances from the first row keep the digits that a difference of two large
// sums would lose.
__global__ void statistics(const float* x, float* mean, float* variance) {
  const int channel = int(threadIdx.x);
  const float pivot = x[channel];
  float sum = 0, squares = 0;
  for (int row = 0; row < rows; ++row) {
    const float distance = x[row * channels + channel] - pivot;
    sum += distance;
    squares += distance * distance;
  }
  mean[channel] = pivot + sum / rows;
  variance[channel] = squares / rows - sum / rows * (sum / rows);
}

constexpr int slab = 8, lines = 64;  // a block's channels, and its threads for each of them

// A block has all rows of its channels, so it needs no second launch.
__global__ void one_launch(const float* x, const float* weight, const float* bias, float* y) {
  __shared__ float sums[2][lines][slab];
  const int line = int(threadIdx.y), own = int(threadIdx.x), channel = int(blockIdx.x) * slab + own;
  const float pivot = x[channel];
  float sum = 0, squares = 0;
  for (int row = line; row < rows; row += lines) {
    const float distance = x[row * channels + channel] - pivot;
    sum += distance;
    squares += distance * distance;
  }
  sums[0][line][own] = sum;
  sums[1][line][own] = squares;
  for (int half = lines / 2; half > 0; half /= 2) {
    __syncthreads();
    if (line >= half) continue;
    sums[0][line][own] += sums[0][line + half][own];
    sums[1][line][own] += sums[1][line + half][own];
  }
  __syncthreads();
  const float center = sums[0][0][own] / rows, variance = sums[1][0][own] / rows - center * center;
  const float scale = weight[channel] / std::sqrt(variance + epsilon), shift = bias[channel];
  for (int row = line; row < rows; row += lines) {
    const int i = row * channels + channel;
    y[i] = Swish::forward((x[i] - pivot - center) * scale + shift);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const ladders::Array<float> x("x", ladders::numbers(numbers)), weight("weight", ladders::numbers(channels)),
      bias("bias", ladders::numbers(channels)), y("y", numbers), z("z", numbers), mean("mean", channels),
      variance("variance", channels), scale("scale", channels), shift("shift", channels);
  const dim3 elements(numbers / block_threads / 4);  // four numbers a thread
  const auto normalized = [&](auto kernel, float* to) {
    cuda::launch(kernel, {elements, block_threads}, x.data(), mean.data(), variance.data(), weight.data(),
                 bias.data(), to);
  };
  const auto two_passes = [&] {
    cuda::launch(mean_of_channels, {1, channels}, x.data(), mean.data());
    cuda::launch(variance_of_channels, {1, channels}, x.data(), mean.data(), variance.data());
  };
  const std::string here = "examples/ladders/batch_norm_swish.cu";
  const std::string mean_code = "void mean_of_channels(", variance_code = "void variance_of_channels(";
  return ladders::run(
      {.title = "Batch norm and swish",
       .inputs = {{"x", x.data()}},
       .least_bytes = double(x.bytes() + weight.bytes() + bias.bytes() + y.bytes()),
       .clear = [&] { cuda::fill_bytes(y.data(), 0xFF, y.bytes()); },
       .result = [&] { return y.values(); },
       .rungs = {{"1 op by op",
                  {{here, {mean_code, variance_code, "void normalize(", "void apply_swish("}}},
                  [&] {
                    two_passes();
                    normalized(normalize, z.data());
                    cuda::launch(apply_swish, {elements, block_threads}, z.data(), y.data());
                  }},
                 {"2 swish with the norm",
                  {{here, {mean_code, variance_code, "void normalize_swish("}}},
                  [&] {
                    two_passes();
                    normalized(normalize_swish, y.data());
                  }},
                 {"3 statistics in one pass",
                  {{here, {"void statistics(", "void normalize_swish("}}},
                  [&] {
                    cuda::launch(statistics, {1, channels}, x.data(), mean.data(), variance.data());
                    normalized(normalize_swish, y.data());
                  }},
                 {"4 one launch",
                  {{here, {"void one_launch("}}},
                  [&] {
                    cuda::launch(one_launch, {channels / slab, dim3(slab, lines)}, x.data(), weight.data(),
                                 bias.data(), y.data());
                  }},
                 {"5 the kernel in use",
                  {{"cuda/kernels/batch_norm.cu",
                    {"struct Statistics", "struct Normalize", "__launch_bounds__(slab_threads, 1)"}},
                   {"cuda/kernels/norm_channels.h", {"void write_coefficients("}},
                   {"cuda/device/segments.h",
                    {"struct SegmentPlace", "class RowWalk", "inline void for_each_channel(",
                     "inline void for_each_row("}},
                   {"cuda/device/columns.h", {"inline void for_each_row_of(", "class ColumnSums"}}},
                  [&] {
                    BatchNormTable<float> norms{.epsilon = epsilon};
                    norms.of[0] = {weight.data(), bias.data(), nullptr, nullptr};
                    cuda::batch_norm_forward<Swish, float>(
                        x.data(), norms, true, nullptr,
                        {scale.data(), shift.data(), mean.data(), variance.data()}, y.data(),
                        BatchNormDims::of_matrix(rows, channels), {});
                  }}}},
      argc, argv);
}
